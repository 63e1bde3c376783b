"""The settings of a run's data."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr

from softprompt.config.base import Seed, Settings
from softprompt.config.data_places import settled
from softprompt.config.tasks import records_of
from softprompt.errors import ConfigError, Problem

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
    label: Column | None | Annotated[list[Column], Field(min_length=2)] = AUTO
    """Column of the label or number; None where nothing is labelled. Of several labels for each text also a
    list of columns, one for each label, with 1 where the text has it and 0 where it does not."""
    label_separator: str | None = Field(default=None, min_length=1, max_length=10)
    """What separates the labels in a cell with several of them, e.g. `;` (multi-label classification); None
    is for lists, and for cells with one label."""
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
    decimal: str | None = Field(default=None, min_length=1, max_length=1)
    """The sign before the fraction of numbers that are labels (regression): `.` or `,`. None is the point; a
    regression then refuses numbers that may mean something else."""
    thousands: str | None = Field(default=None, min_length=1, max_length=1)
    """The sign between the thousands of such numbers; None is none."""
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
    conversations: Literal["whole", "turns"] = "whole"
    """Whether shares set aside and folds keep all turns of a conversation on one side, or draw single turns,
    as runs of earlier versions did."""
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
