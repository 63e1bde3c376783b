"""The settings of one run: a YAML file and `--set key=value` overrides.

All mistakes are reported at once, each with its path in the file and the nearest known name.
"""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from softprompt.config.base import FolderName, Seed, Settings, check_path
from softprompt.config.data_places import settled
from softprompt.config.method import AnyMethod, default_method, starts_at_examples
from softprompt.config.tasks import (
    AnyTask,
    GenerationSettings,
    reads_pictures,
    records_of,
    tasks_with_templates,
)
from softprompt.config.training import TrainingSettings
from softprompt.errors import ConfigError, Problem, nearest
from softprompt.metrics import METRICS, find_metric, metrics_of


class BackboneSettings(Settings):
    name: Annotated[str, AfterValidator(check_path)] = "smollm2-135m"
    """A bundled name, a folder, or a hub id."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Precision of the frozen weights; None keeps what the files hold."""
    device: str | None = None
    """A torch device of this machine; None takes an accelerator if there is one, else the CPU."""
    attention: Literal["sdpa", "eager"] | None = None
    """Attention kernel; None keeps the model's own default."""
    image_size: int | None = Field(default=None, ge=1, le=10_000)
    """Side of the pictures in pixels, for models that fit their positions to it; None is the image
    processor's own. Fewer pixels are fewer tokens."""
    shard: bool = False
    """Share out the numbers of every frozen layer over the run's processes."""
    compile: bool = False
    """No longer offered; only `false` is accepted, for older recipes."""

    @field_validator("compile")
    @classmethod
    def _no_compile(cls, value: bool) -> bool:
        if value:
            raise ValueError(
                Problem(
                    "backbone.compile", "true", "false, since layers are no longer compiled", "leave it out"
                )
            )
        return value


Column = str | Annotated[int, Field(strict=True, ge=0)]
"""A column by its name, or by its number from 0 (of a file without a header)."""

AUTO = "auto"
"""What a setting of `data` says where the file itself shows it."""


def _known_format(raw: Any) -> Any:
    """The name of a data format; the package that offers the format is imported."""
    if raw is None or raw == AUTO:
        return AUTO
    # Imported by name, since data is a higher layer.
    formats = import_module("softprompt.data").FORMATS
    if raw not in formats:
        *names, last = map(repr, formats)
        expected = f"one of {', '.join(names)} or {last}"
        raise ValueError(Problem("", repr(raw), expected, formats.hint(raw)))
    try:
        return formats[raw].name
    except ConfigError as error:
        problems = (one for one in error.problems if isinstance(one, Problem))
        found = [one.at(one.where.removeprefix("data.format").lstrip(": ")) for one in problems]
        raise ValueError(*found) from None


class DataSettings(Settings):
    format: Annotated[str, BeforeValidator(_known_format)] = AUTO
    """How the files are read. By default the file's suffix says what it is (csv, tsv, json, jsonl, parquet,
    xlsx, txt, xml, each also with `.gz`) and the task says what its columns are; `docs/data.md` shows it.
    `restaurants` is generated (synthetic) and reads no file. The table in `docs/extending.md` has all
    formats and the columns that each takes."""
    train: Path | None = None
    """File or folder: looked for beside the recipe, then in the working folder, then in the data folder
    (`SOFTPROMPT_DATA`). Of the hub `name:split` or `name:configuration:split`, e.g.
    `nyu-mll/glue:rte:train`; of a saved data set `folder:split`."""
    dev: Path | None = None
    test: Path | None = None
    source: Column = AUTO
    """Column of the source, or a text of several: `"{instruction}\\n{input}"`. `auto`, here and below, finds
    the column by its usual names and says which it took."""
    target: Column = AUTO
    """Column of the target, or a text of several."""
    text: Column = AUTO
    """Column of the text, or a text of several."""
    second: Column | None = AUTO
    """Column of the second text of a pair; None where there is one text."""
    label: Column | None = AUTO
    """Column of the label or number; None where nothing is labelled."""
    image: str = AUTO
    """Column of the pictures."""
    words: str = AUTO
    """Column of a sentence's words, in a table with a row for each sentence."""
    tags: str | None = AUTO
    """Column of a sentence's tags; None where nothing is tagged."""
    question: str = AUTO
    """Column of the question."""
    context: str = AUTO
    """Column of the context that answers it."""
    answers: str | None = AUTO
    """Column of the answers, as SQuAD has them; None where they are unknown."""
    messages: str = AUTO
    """Column of a conversation: a list of objects with `role` and `content`."""
    word_column: int = 0
    """Column of the words in a line, from 0; negative numbers count from the end."""
    tag_column: int | None = -1
    """Column of the tags; None where nothing is tagged."""
    tagging: Literal["auto", "bio", "iob1", "bioes", "bilou"] = AUTO
    """How the file marks entities: `iob1` (CoNLL 2003 as published), `bioes` (BMES too) and `bilou` are
    converted to BIO. `auto` is BIO, or the scheme whose letters (E, M, S, L, U) the file has."""
    language: str | None = None
    """Of the texts to take, where a file of WebNLG 2020 has several: `en` or `ru`."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=10)
    """What separates the cells of a line; None finds it."""
    encoding: str | None = None
    """Of text files, e.g. `gb18030`; None is UTF-8, or what a byte-order mark says."""
    header: bool | None = None
    """Whether the first row names the columns; None is true unless columns are given by number."""
    quoted: bool | None = None
    """Whether quotes stand around cells and are no part of them; None is true for CSV and found for TSV."""
    sheet: str | None = None
    """Sheet of an Excel workbook; None takes the only one that is filled."""
    on_bad_row: Literal["refuse", "skip"] = "refuse"
    """What to do about rows that cannot be read: refuse the file and name them, or leave them out and say how
    many."""
    train_size: int | None = Field(default=None, ge=1)
    """How many training pairs to draw; None takes all."""
    train_per_class: int | None = Field(default=None, ge=1)
    """How many training records of each label to draw (classification only), instead of `train_size`."""
    dev_size: int | None = Field(default=None, ge=1)
    """How many development records to draw; None takes all."""
    dev_per_class: int | None = Field(default=None, ge=1)
    """How many development records of each label to draw (classification only): from `dev` where it is
    given, else from what training left of its own file; never a text that is trained on."""
    test_size: int | None = Field(default=None, ge=0)
    """How many test records to draw; None takes all, 0 leaves the test set out."""
    dev_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the drawn training pairs set aside as development set (0.3 in the paper's low-data runs)."""
    stratified: bool = True
    """Whether shares set aside hold each label in its proportion (classification)."""
    test_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training file set aside as test set before anything is drawn; no subsample changes it."""
    subsample: Seed = 0
    """The seed of the draw."""
    folds: int | None = Field(default=None, ge=2)
    """Cross-validation: the number of folds into which training and development records together are cut."""
    fold: int | None = Field(default=None, ge=0)
    """Which fold, from 0, is the development set; the others are trained on."""
    join_dev: bool = False
    """Whether to train on development records too; none remain to select by (VTAB's final runs)."""
    extrapolation: Literal["seen"] | None = None
    """`seen` keeps only the categories marked seen for training (WebNLG's seen -> unseen split)."""

    _beside: Path | None = PrivateAttr(default=None)

    def __eq__(self, other: object) -> bool:
        # Where a recipe lies is no setting: what it says is the same elsewhere.
        return isinstance(other, DataSettings) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    @property
    def beside(self) -> Path | None:
        """The folder of the recipe, where files are looked for first; None for settings without one."""
        return self._beside

    def placed(self, folder: Path | None) -> "DataSettings":
        """The same settings, with the paths of files that are there as a run keeps them.

        Args:
            folder: of the recipe.
        """
        paths = {split: path for split in ("train", "dev", "test") if (path := getattr(self, split))}
        made = self.model_copy(update={split: settled(path, folder) for split, path in paths.items()})
        made._beside = folder
        return made


class DecodingSettings(Settings):
    strategy: Literal["greedy", "beam", "sample"] = "beam"
    beams: int = Field(default=5, ge=1)
    """Beams (beam search only)."""
    max_new_tokens: int = Field(default=100, ge=1)
    min_new_tokens: int = Field(default=0, ge=0)
    length_penalty: float = 1.0
    """Beam search only; 1.0 divides by length."""
    no_repeat_ngram: int = Field(default=0, ge=0)
    """0 allows repeats."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling only."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sampling only."""
    ban_newlines: bool = True
    """Newline tokens are never generated (the paper's table-to-text setting)."""
    batch_size: int = Field(default=16, ge=1)
    """Records decoded together."""


def usual_format(records: Any, paths: list[str], image: bool) -> str | None:
    # Imported by name, since data is a higher layer.
    return import_module("softprompt.data").usual_format(records, paths, image)


def _in_its_roles(data: dict[str, Any], kind: str) -> dict[str, Any]:
    """Settings of `datasets`, whose columns were once `text`, `second` and `label` for every task."""
    roles = {
        "pairs": {"text": "source", "label": "target"},
        "pictured": {"text": "source", "label": "target"},
        "tagged": {"text": "words", "label": "tags"},
        "questions": {"text": "question", "second": "context", "label": "answers"},
    }.get(kind, {})
    moved = {
        roles[name]: data[name]
        for name in roles
        if data.get(name) not in (None, AUTO) and data.get(roles[name]) in (None, AUTO)
    }
    kept = {name: AUTO if name in roles else value for name, value in data.items()}
    return {**kept, **moved}


def with_format(raw: Any) -> Any:
    """Settings of a task and its data, with the format of the task's own data where none is named.

    `datasets` is that format too, where it is not the task's: the hub has data for every task.
    """
    data, task = (raw.get("data"), raw.get("task")) if isinstance(raw, dict) else (None, None)
    if isinstance(data, DataSettings):
        written = data.model_dump()
    else:
        written = data if isinstance(data, dict) else None
    name = (
        (task or {}).get("name", "generation") if isinstance(task, dict | None) else getattr(task, "name", "")
    )
    if written is None or written.get("format") not in (None, AUTO, "datasets"):
        return raw
    records = records_of(name)
    paths = [str(written[split]) for split in ("train", "dev", "test") if written.get(split) is not None]
    made = usual_format(records, paths, written.get("image") not in (None, AUTO))
    if written.get("format") == "datasets":
        if made == "labelled" or not paths:
            return raw
        written = _in_its_roles(written, str(made))
    if made is None:
        return raw
    if isinstance(data, DataSettings):
        new = data.model_copy(update={**written, "format": made})
        new._beside = data._beside
        return {**raw, "data": new}
    return {**raw, "data": {**written, "format": made}}


class RunSettings(Settings):
    """All settings of one run."""

    name: FolderName = "run"
    """The name of the run folder below `output`."""
    output: Path = Path("runs")
    backbone: BackboneSettings = BackboneSettings()
    method: AnyMethod = Field(default_factory=default_method("prefix_tuning"))
    data: DataSettings
    task: AnyTask = GenerationSettings()
    decoding: DecodingSettings = DecodingSettings()
    metrics: list[str] = Field(default_factory=list)
    """Metrics of the test set; by default the task's first metric."""
    training: TrainingSettings

    @model_validator(mode="before")
    @classmethod
    def _default_metric(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and raw.get("metrics") is None:
            task = raw.get("task") or {}
            name = task.get("name", "generation") if isinstance(task, dict) else getattr(task, "name", None)
            return {**raw, "metrics": metrics_of(str(name))[:1]}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _default_format(cls, raw: Any) -> Any:
        return with_format(raw)

    @model_validator(mode="before")
    @classmethod
    def _default_start(cls, raw: Any) -> Any:
        """For pictures, which are no tokens, replace a default start at examples by a random one."""
        if not isinstance(raw, dict):
            return raw
        task, method = raw.get("task"), raw.get("method")
        pictures = isinstance(task, dict) and reads_pictures(task.get("name"))
        if not pictures or not isinstance(method, dict) or not starts_at_examples(method.get("name")):
            return raw
        return {**raw, "method": {"initialization": "random", **method}}

    @model_validator(mode="after")
    def _fitting_the_task(self) -> "RunSettings":
        task = self.task.name
        method = self.method.name
        options = type(self.method).model_fields
        if "template" in options and not self.task.takes_template:
            got = f"'{method}' for task '{task}', which writes no template into the input"
            do = f"use softprompt.{method} from Python"
            known = ", ".join(tasks_with_templates())
            raise ValueError(Problem("method.name", got, f"a task with a template: {known}", do))
        # A method with the setting `examples` shows them in the context instead of training.
        if "examples" in options and not self.task.takes_template:
            got = f"'{method}' for task '{task}', whose answer a trained head gives"
            raise ValueError(
                Problem("method.name", got, "a method that trains a head", "choose e.g. 'head_only'")
            )
        if twice := sorted({name for name in self.metrics if self.metrics.count(name) > 1}):
            raise ValueError(Problem("metrics", f"{twice[0]!r} twice", "each metric once", "leave one out"))
        for name in self.metrics:
            try:
                row = find_metric(name)
            except ConfigError as error:
                raise ValueError(*error.problems) from None
            known = metrics_of(task)
            if row is None or name not in known:
                got = f"'{name}' for task '{task}'"
                expected = f"some of {', '.join(known)}" if known else "none, since no metric scores it"
                hint = nearest(name, known) if row else METRICS.hint(name, known)
                raise ValueError(Problem("metrics", got, expected, hint))
        if not self.task.writes_text:
            plain = DecodingSettings(batch_size=self.decoding.batch_size)
            ignored = [name for name, value in self.decoding if value != getattr(plain, name)]
            if ignored:
                where, got = f"decoding.{ignored[0]}", f"a value for task '{task}', which writes no text"
                raise ValueError(Problem(where, got, "decoding.batch_size alone", f"leave {ignored[0]} out"))
        if self.training.backbone_learning_rate is not None and getattr(self.method, "tune", None) is None:
            where, got = (
                "training.backbone_learning_rate",
                "a rate where no tensor of the backbone is trained",
            )
            raise ValueError(
                Problem(where, got, "method.tune beside it", "give method.tune, or leave the rate out")
            )
        if self.training.head_learning_rate is not None and not self.task.has_head:
            where, got = "training.head_learning_rate", f"a rate for task '{task}', which has no head"
            raise ValueError(Problem(where, got, "a task with a head", "leave the rate out"))
        return self

    @model_validator(mode="after")
    def _sharded_passes_agree(self) -> "RunSettings":
        if self.backbone.shard and self.training.trunk_cache is not None:
            got = "a trunk cache with backbone.shard, where all processes must run the same layers"
            expected = "one of the two, since what a process has kept decides which layers it runs"
            raise ValueError(Problem("training.trunk_cache", got, expected, "leave one out"))
        return self

    @model_validator(mode="after")
    def _select_among_metrics(self) -> "RunSettings":
        if self.training.select not in ("loss", *self.metrics):
            known = ", ".join(("loss", *self.metrics))
            where, got = "training.select", repr(self.training.select)
            raise ValueError(Problem(where, got, f"one of {known}", "choose one, or add it to metrics"))
        return self

    @property
    def folder(self) -> Path:
        """The folder of the run's files."""
        return self.output / self.name
