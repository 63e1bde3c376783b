"""Every task by its name, and the labels that it works with."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from softprompt.config import DecodingSettings, GenerationSettings, TaskSettings
from softprompt.errors import ConfigError
from softprompt.tasks.reading import ReadingTask
from softprompt.tasks.task import Task

if TYPE_CHECKING:
    from softprompt.backbones.backbone import Backbone

OUTSIDE = "O"
"""The tag of words outside every entity."""


def build_task(
    backbone: "Backbone",
    settings: TaskSettings,  # type: ignore[valid-type]
    decoding: DecodingSettings | None = None,
    labels: Sequence[str] = (),
) -> Task:
    """The task that the settings name.

    Args:
        backbone: the frozen model with its tokenizer.
        settings: of the task.
        decoding: how texts are written (generation), and how many records are predicted together.
        labels: every label where the task has them, see `labels_of`.
    """
    from softprompt.tasks.generation import GenerationTask

    decoding = decoding or DecodingSettings()
    if isinstance(settings, GenerationSettings):
        return GenerationTask(backbone, settings, decoding)
    kinds = reading_tasks()
    return kinds[settings.name](backbone, settings, labels, decoding.batch_size)


def reading_tasks() -> dict[str, type[ReadingTask]]:
    """The tasks with a head, by name."""
    from softprompt.tasks.choice import ChoiceTask
    from softprompt.tasks.classification import ClassificationTask, RegressionTask
    from softprompt.tasks.spans import SpanTask
    from softprompt.tasks.tagging import TaggingTask

    return {
        "classification": ClassificationTask,
        "regression": RegressionTask,
        "choice": ChoiceTask,
        "tagging": TaggingTask,
        "spans": SpanTask,
    }


def labels_of(settings: Any, declared: Sequence[str] | None, train: Iterable[Any]) -> tuple[str, ...]:
    """Every label, in the order of the head's outputs; empty for tasks without labels.

    Args:
        settings: of the task; its own list comes first.
        declared: the data format's own list, if it has one.
        train: the training records; without a list, their labels in alphabetical order (tags with `O` first).

    Raises:
        ConfigError: fewer than two labels, or records of another kind.
    """
    if settings.name not in ("classification", "tagging"):
        return ()
    train = list(train)
    # Before labels are looked for where there cannot be any.
    reading_tasks()[settings.name].check_kind(settings.name, train)
    if settings.labels is not None:
        return tuple(settings.labels)
    if settings.name == "tagging":
        found = {tag for record in train for tag in record.labels}
        labels = tuple(sorted(found, key=lambda tag: (tag != OUTSIDE, tag)))
    else:
        seen = {label for record in train if (label := record.label) is not None}
        labels = tuple(declared) if declared is not None else tuple(sorted(seen))
    if len(labels) < 2:
        raise ConfigError(
            "task.labels",
            f"{list(labels)} in the training data",
            "at least two labels",
            "list them in task.labels",
        )
    return labels
