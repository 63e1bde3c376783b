"""Every task, a row each.

Settings, metrics, reports and `softprompt predict` take what they need of a task from these rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from softprompt.config import (
    ChoiceSettings,
    ClassificationSettings,
    ClozeSettings,
    GenerationSettings,
    ImageClassificationSettings,
    MultiLabelSettings,
    ProbingSettings,
    RegressionSettings,
    SpanSettings,
    TaggingSettings,
    TaskSettings,
)
from softprompt.data import (
    Choices,
    LabelledPicture,
    LabelledText,
    MultiLabelledText,
    PicturedText,
    Question,
    Record,
    TaggedWords,
)
from softprompt.registry import Registry
from softprompt.tasks.outputs import OUTPUT_FORMS, OutputForm

if TYPE_CHECKING:
    from softprompt.tasks.base import Task

_Task = TypeVar("_Task", bound="type[Task]")


@dataclass(frozen=True)
class TaskKind:
    """One task.

    Attributes:
        name: in recipes and results.
        settings: what a recipe may set of it.
        function: the class of the task; of a task of softprompt, where the class stands, so that a table of
            tasks imports no torch.
        records: the classes of the records that it reads.
        outputs: the form of what it predicts.
        metrics: beside those that name the task themselves; the first is the default.
        second: whether its texts may come in pairs.
        needs: modules of the extra `metrics` that its scores need, whatever the metrics are.
    """

    name: str
    settings: type[TaskSettings]
    function: "type[Task] | str"
    records: tuple[type, ...]
    outputs: OutputForm
    metrics: tuple[str, ...] = ()
    second: bool = False
    needs: tuple[str, ...] = ()

    @property
    def task(self) -> "type[Task]":
        """The class of the task."""
        if not isinstance(self.function, str):
            return self.function
        module, _, name = self.function.partition(":")
        return getattr(import_module(f"softprompt.tasks.{module}"), name)

    @property
    def reads_pictures(self) -> bool:
        """Whether its records are pictures, which are no tokens."""
        return LabelledPicture in self.records


TASKS: Registry[TaskKind] = Registry("task", "task.name", "softprompt.tasks", of="class")
"""Every task by name, in the order of messages."""

_FORMS, _TEXT = OUTPUT_FORMS, (LabelledText,)

for _row in (
    TaskKind(
        "generation", GenerationSettings, "language:GenerationTask", (Record, PicturedText), _FORMS["text"],
    ),
    TaskKind(
        "classification", ClassificationSettings, "headed:ClassificationTask", _TEXT,
        _FORMS["label"], second=True,
    ),
    TaskKind(
        "multi_label_classification", MultiLabelSettings, "headed:MultiLabelTask", (MultiLabelledText,),
        _FORMS["labels"], second=True,
    ),
    TaskKind("tagging", TaggingSettings, "headed:TaggingTask", (TaggedWords,), _FORMS["tags"]),
    TaskKind("choice", ChoiceSettings, "headed:ChoiceTask", (Choices,), _FORMS["choice"]),
    TaskKind("spans", SpanSettings, "headed:SpanTask", (Question,), _FORMS["answer"], second=True),
    TaskKind(
        "regression", RegressionSettings, "headed:RegressionTask", _TEXT, _FORMS["number"],
        second=True,
    ),
    TaskKind(
        "cloze", ClozeSettings, "language:ClozeTask", (LabelledText, Choices), _FORMS["label_or_choice"],
        second=True,
    ),
    TaskKind("probing", ProbingSettings, "language:ProbingTask", _TEXT, _FORMS["ranked_words"]),
    TaskKind(
        "image_classification", ImageClassificationSettings, "headed:ImageClassificationTask",
        (LabelledPicture,), _FORMS["ranked_labels"], needs=("sklearn",),
    ),
):  # fmt: skip
    TASKS.add(_row.name, _row, _row.settings)


def answer_of(task: str, line: Mapping[str, Any]) -> str:
    """The output of a line of `outputs.jsonl` in words.

    Args:
        task: of the run.
        line: as the run writes it.

    Raises:
        ValueError: the output is not of the form that the task writes.
    """
    try:
        return TASKS[task].outputs.words(line["output"], line)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise ValueError(f"no output of task '{task}'") from None
