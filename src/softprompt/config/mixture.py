"""The settings of several tasks trained in one run."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from softprompt.config.base import Settings
from softprompt.config.methods import MethodSettings, PTuningV2Settings
from softprompt.config.settings import (
    BackboneSettings,
    DataSettings,
    DecodingSettings,
    RunSettings,
    TrainingSettings,
)
from softprompt.config.tasks import TaskSettings
from softprompt.errors import problem


class PartSettings(Settings):
    """One task of several: its data, what is asked of it, and how it is scored."""

    data: DataSettings
    task: TaskSettings
    metrics: list[str] | None = None
    """As in a run of its own; the first one is what `select: metric` looks at."""


class MixtureSettings(Settings):
    """Everything that decides one run over several tasks."""

    name: str = "mixture"
    """Names the run folder below `output`."""
    output: Path = Path("runs")
    backbone: BackboneSettings = BackboneSettings()
    method: MethodSettings = Field(default=PTuningV2Settings(), discriminator="name")
    prompts: Literal["shared", "separate"]
    """`shared`: one prompt with a head for each task, trained on their mixture (P-Tuning v2's multi-task
    learning). `separate`: a prompt of its own for each, all trained at once, each as though alone."""
    parts: dict[str, PartSettings] = Field(min_length=1)
    """The tasks, or users, by name."""
    decoding: DecodingSettings = DecodingSettings()
    training: TrainingSettings
    """`batch_size` counts the whole batch of a shared prompt, and each part's share for separate ones;
    `select` is `loss` or `metric` (each part's first metric; of a shared prompt, their mean)."""

    @field_validator("parts")
    @classmethod
    def _plain_names(cls, parts: dict[str, PartSettings]) -> dict[str, PartSettings]:
        for name in parts:
            if not name or not all(c.isalnum() or c in "-_" for c in name):
                raise ValueError(problem(f"parts.{name}", do="name parts in letters, digits, '-' and '_'"))
        return parts

    @model_validator(mode="after")
    def _consistent(self) -> "MixtureSettings":
        kinds = {part.task.name == "generation" for part in self.parts.values()}
        if len(kinds) > 1:
            raise ValueError(problem("parts", "generation beside tasks with heads", "one or the other"))
        if self.training.select not in ("loss", "metric"):
            where, got = "training.select", repr(self.training.select)
            raise ValueError(problem(where, got, "'loss' or 'metric'", "each part has metrics of its own"))
        if self.prompts == "separate":
            if self.training.steps is None:
                raise ValueError(
                    problem(
                        "training.epochs",
                        "it with separate prompts",
                        "training.steps",
                        "parts differ in size",
                    )
                )
            if self.training.schedule == "exponential":
                raise ValueError(
                    problem(
                        "training.schedule",
                        "'exponential' with separate prompts",
                        "one that counts steps",
                        "parts have epochs of different length",
                    )
                )
            if self.method.name == "fine_tuning":
                raise ValueError(
                    problem(
                        "method.name",
                        "'fine_tuning' with separate prompts",
                        "prompts: rows share one backbone",
                    )
                )
        elif getattr(self.method, "initialization", "").startswith("examples"):
            where, got = "method.initialization", f"'{self.method.initialization}' with a shared prompt"  # type: ignore[union-attr]
            raise ValueError(problem(where, got, "a start that belongs to no one task", "e.g. vocabulary"))
        # Each part is a run of its own in everything else, and is checked as one.
        for name in self.parts:
            self.part(name)
        return self

    @property
    def folder(self) -> Path:
        """Where the run keeps its files; each part has a folder below."""
        return self.output / self.name

    def part(self, name: str) -> RunSettings:
        """One part as the settings of a run of its own."""
        part = self.parts[name]
        training = self.training
        if training.select == "metric":
            training = training.model_copy(update={"select": "loss"})
        given: dict[str, Any] = {"metrics": part.metrics} if part.metrics is not None else {}
        return RunSettings(
            name=name, output=self.folder, backbone=self.backbone, method=self.method, data=part.data,
            task=part.task, decoding=self.decoding, training=training, **given,
        )  # fmt: skip
