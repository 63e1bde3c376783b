"""The settings of several tasks trained in one run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from softprompt.config.base import FolderName, Settings
from softprompt.config.data import DataSettings, with_format
from softprompt.config.method import AnyMethod, default_method
from softprompt.config.mistakes import explain_all
from softprompt.config.settings import (
    BackboneSettings,
    DecodingSettings,
    RunSettings,
)
from softprompt.config.tasks import AnyTask
from softprompt.config.training import TrainingSettings
from softprompt.errors import Problem, counted
from softprompt.metrics import metrics_of

_OWN = ("data", "task", "metrics")
"""The settings of a part; all others belong to the whole run."""

_MOST_PARTS, _MOST_WRITTEN = 2_000, 20_000_000
"""The most parts that `each` makes, and the most characters of all of them."""

_TAKEN = ("checkpoints",)
"""Folders that a run keeps beside those of its parts."""


class PartSettings(Settings):
    """One task of several: its data, what is asked of it, and how it is scored."""

    data: DataSettings
    task: AnyTask
    metrics: list[str] | None = None
    """As in a run of its own; the first one is what `select: metric` looks at."""

    @model_validator(mode="before")
    @classmethod
    def _default_format(cls, raw: Any) -> Any:
        return with_format(raw)


class _Mistakes(ValueError):
    """Several mistakes, a line each."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class MixtureSettings(Settings):
    """Everything that decides one run over several tasks."""

    name: FolderName = "mixture"
    """Names the run folder below `output`."""
    output: Path = Path("runs")
    backbone: BackboneSettings = BackboneSettings()
    method: AnyMethod = Field(default_factory=default_method("p_tuning_v2"))
    prompts: Literal["shared", "separate"]
    """`shared`: one prompt with a head for each task, trained on their mixture (P-Tuning v2's multi-task
    learning). `separate`: a prompt of its own for each, all trained at once, each as though alone (but for
    the random draws of dropout)."""
    parts: dict[str, PartSettings]
    """The tasks, or users, by name; all with heads, or all generation, or all filling blanks. Similar parts
    may be written once: `each: {names: [a, b], data: ..., task: ...}`, where `{name}` stands for the name."""
    decoding: DecodingSettings = DecodingSettings()
    training: TrainingSettings = TrainingSettings()
    """`batch_size` counts the whole batch of a shared prompt, and each part's share for separate ones;
    `select` is `loss` or `metric` (each part's first metric; for a shared prompt their mean, with the sign
    turned where less is better). `evaluate_every` is by default once per epoch of the mixture, and of the
    largest part for separate prompts."""

    @model_validator(mode="before")
    @classmethod
    def _each(cls, raw: Any) -> Any:
        """Expand `each` into parts."""
        if not isinstance(raw, dict) or "each" not in raw:
            return raw
        each = raw["each"]
        names = each.get("names") if isinstance(each, dict) else None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError(Problem("each.names", repr(names), "a list of names, one for each part"))
        if raw.get("parts"):
            raise ValueError(Problem("each", "both each and parts", "one of the two", "leave one out"))
        written = str({key: value for key, value in each.items() if key != "names"})
        size = len(names) * (len(written) + written.count("{name}") * max(map(len, names)))
        if len(names) > _MOST_PARTS or size > _MOST_WRITTEN:
            make = "makes" if len(names) == 1 else "make"
            got = f"{counted(len(names), 'name')} that {make} {size:,} characters"
            expected = f"at most {_MOST_PARTS:,} names and {_MOST_WRITTEN:,} characters"
            raise ValueError(Problem("each.names", got, expected, "make several runs of it"))
        if len(set(names)) < len(names):
            raise ValueError(Problem("each.names", "the same name twice", "names that differ"))
        one = {key: value for key, value in each.items() if key != "names"}
        others = {key: value for key, value in raw.items() if key != "each"}
        return {**others, "parts": {name: _named(one, name) for name in names}}

    @model_validator(mode="after")
    def _consistent(self) -> "MixtureSettings":
        # In everything else each part is checked as a run of its own.
        of_parts = [line for name in self.parts for line in self._of_part(name)]
        lines = list(dict.fromkeys([*self._of_names(), *self._of_kinds(), *self._of_training(), *of_parts]))
        if lines:
            raise _Mistakes(*lines)
        return self

    @property
    def folder(self) -> Path:
        """Where the run keeps its files; each part has a folder below."""
        return self.output / self.name

    def part(self, name: str) -> RunSettings:
        """One part as the settings of a run of its own."""
        part, training = self.parts[name], self.training
        metrics = metrics_of(part.task.name)[:1] if part.metrics is None else part.metrics
        if training.select == "metric":
            training = training.model_copy(update={"select": metrics[0]})
        return RunSettings(
            name=name, output=self.folder, backbone=self.backbone, method=self.method, data=part.data,
            task=part.task, decoding=self.decoding, training=training, metrics=list(metrics),
        )  # fmt: skip

    # -- mistakes, a line each -------------------------------------------------------------------

    def _of_names(self) -> Iterator[Problem]:
        if not self.parts:
            yield Problem("parts", "no part", "at least one")
        folders: dict[str, str] = {}
        for name in self.parts:
            plain = name and all(c.isalnum() or c in "-_" for c in name)
            if not plain or len(name.encode("utf-8")) > 200:
                expected = "a name in letters, digits, '-' and '_', at most 200 bytes"
                yield Problem("parts", repr(name), expected)
            elif name.casefold() in _TAKEN:
                yield Problem(
                    f"parts.{name}",
                    "a name by which the run keeps a folder of its own",
                    hint="choose another name",
                )
            elif name.casefold() in folders:
                # Both would share a folder on a file system that ignores case.
                got = f"a name that differs from '{folders[name.casefold()]}' in case alone"
                yield Problem(f"parts.{name}", got, hint="rename one of the two")
            folders[name.casefold()] = name

    def _of_kinds(self) -> Iterator[Problem]:
        kinds = {part.task.batch_group for part in self.parts.values()}
        if len(kinds) > 1:
            yield Problem("parts", " beside ".join(sorted(kinds)), "parts that are all of one kind")
        tune = getattr(self.method, "tune", None)
        if tune not in (None, "none"):
            where, got = (
                ("method.name", "'fine_tuning'")
                if self.method.name == "fine_tuning"
                else ("method.tune", repr(tune))
            )
            yield Problem(
                where,
                f"{got} with several tasks",
                "a method that trains prompts alone, since all tasks share one backbone",
            )
        start = getattr(self.method, "initialization", "")
        if self.prompts == "shared" and start.startswith("examples"):
            got = f"'{start}' with a shared prompt"
            yield Problem(
                "method.initialization",
                got,
                "a start that belongs to no single task",
                "choose e.g. 'vocabulary'",
            )

    def _of_training(self) -> Iterator[Problem]:
        training = self.training
        if self.backbone.shard:
            got = "true with several tasks, where the prompts of its rows decide what a process runs"
            yield Problem(
                "backbone.shard",
                got,
                "a single task, with which all processes run the same",
                "leave shard out",
            )
        if training.select not in ("loss", "metric"):
            do = "name each part's first metric by 'metric'"
            yield Problem("training.select", repr(training.select), "'loss' or 'metric'", do)
        if self.prompts == "shared":
            return
        if training.epochs is not None:
            do = "count in steps, because parts differ in size"
            yield Problem("training.epochs", "epochs with separate prompts", "training.steps", do)
        if training.schedule == "exponential":
            got, do = (
                "'exponential' with separate prompts",
                "choose e.g. 'linear', because parts have epochs of different length",
            )
            yield Problem("training.schedule", got, "a schedule that counts steps", do)

    def _of_part(self, name: str) -> Iterator[Problem]:
        select = self.training.select
        if select == "metric" and self.parts[name].metrics == []:
            yield Problem(f"parts.{name}.metrics", "no metric", "at least one, for training.select 'metric'")
            return
        try:
            if select in ("loss", "metric"):
                self.part(name)
        except ValidationError as error:
            for one in explain_all(error.errors(), RunSettings):
                if one.where == "name":
                    continue  # `_of_names` reports it
                yield one.at(f"parts.{name}.{one.where}") if one.where.startswith(_OWN) else one


def _named(value: Any, name: str) -> Any:
    """The same structure with the part's name in place of `{name}`."""
    if isinstance(value, dict):
        return {key: _named(inner, name) for key, inner in value.items()}
    if isinstance(value, list):
        return [_named(inner, name) for inner in value]
    return value.replace("{name}", name) if isinstance(value, str) else value
