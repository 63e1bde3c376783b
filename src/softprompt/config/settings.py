"""The settings of one run: a YAML file and `--set key=value` overrides.

All mistakes are reported at once, each with its path in the file and the nearest known name.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)

from softprompt.config.base import FolderName, Settings, check_path
from softprompt.config.data import DataSettings, with_format
from softprompt.config.method import AnyMethod, default_method, starts_at_examples
from softprompt.config.tasks import (
    AnyTask,
    GenerationSettings,
    reads_pictures,
    tasks_with_templates,
)
from softprompt.config.training import TrainingSettings
from softprompt.errors import ConfigError, Problem, counted, nearest
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


class DecodingSettings(Settings):
    strategy: Literal["greedy", "beam", "sample"] = "beam"
    beams: int = Field(default=5, ge=1)
    """Beams (beam search only)."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """Longest answer in tokens, with its end; None is the longest training target."""
    min_new_tokens: int = Field(default=0, ge=0)
    length_penalty: float = 1.0
    """Beam search only; 1.0 divides by length."""
    no_repeat_ngram: int = Field(default=0, ge=0)
    """0 allows repeats."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling only."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sampling only."""
    ban_newlines: bool = False
    """Newline tokens are never generated (the table-to-text setting of Prefix-Tuning's code)."""
    batch_size: int = Field(default=16, ge=1)
    """Records decoded together."""


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
    training: TrainingSettings = TrainingSettings()

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
        training = self.training
        # The same method trains nothing but a head; without one, steps could never be made.
        if "examples" in options and not self.task.has_head and (training.steps or training.epochs):
            what = "epochs" if training.epochs else "steps"
            n = counted(getattr(training, what), what.removesuffix("s"))
            got = f"{n} of {method}, which trains nothing here"
            do = "set training.steps=0" + (" and training.epochs=null" if training.epochs else "")
            raise ValueError(Problem(f"training.{what}", got, "no steps", f"{do} to measure it"))
        if method == "head_only" and not self.task.has_head:
            got = f"'{method}' for task '{task}', which has no head"
            do = "choose e.g. 'prefix_tuning'"
            raise ValueError(Problem("method.name", got, "a method that trains a prompt", do))
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
