"""Every task by its name, and the labels that it works with."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from softprompt.config import (
    ClozeSettings,
    DecodingSettings,
    GenerationSettings,
    ProbingSettings,
    RunSettings,
    TaskSettings,
)
from softprompt.data import LabelledText, pattern
from softprompt.errors import ConfigError
from softprompt.tasks.headed import HeadTask
from softprompt.tasks.task import Task
from softprompt.text import null_template

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


def build_task(
    backbone: "Backbone",
    settings: TaskSettings,  # type: ignore[valid-type]
    decoding: DecodingSettings | None = None,
    labels: Sequence[str] = (),
    fields: Sequence[str] = (),
) -> Task:
    """The task that the settings name.

    Args:
        backbone: the frozen model with its tokenizer.
        settings: of the task.
        decoding: how texts are written (generation), and how many records are predicted together.
        labels: every label where the task has them, see `labels_of`.
        fields: what templates may call a record's texts.
    """
    from softprompt.tasks.cloze import ClozeTask
    from softprompt.tasks.generation import GenerationTask
    from softprompt.tasks.probing import ProbingTask

    decoding = decoding or DecodingSettings()
    if isinstance(settings, GenerationSettings):
        return GenerationTask(backbone, settings, decoding)
    if isinstance(settings, ClozeSettings):
        return ClozeTask(backbone, settings, labels, fields, decoding.batch_size)
    if isinstance(settings, ProbingSettings):
        return ProbingTask(backbone, settings, decoding.batch_size)
    kinds = tasks_with_heads()
    return kinds[settings.name](backbone, settings, labels, decoding.batch_size)


def tasks_with_heads() -> dict[str, type[HeadTask]]:
    """The tasks with a head, by name."""
    from softprompt.tasks.choice import ChoiceTask
    from softprompt.tasks.classification import ClassificationTask, RegressionTask
    from softprompt.tasks.images import ImageClassificationTask
    from softprompt.tasks.spans import SpanTask
    from softprompt.tasks.tagging import TaggingTask

    return {
        "classification": ClassificationTask,
        "regression": RegressionTask,
        "choice": ChoiceTask,
        "tagging": TaggingTask,
        "spans": SpanTask,
        "image_classification": ImageClassificationTask,
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
    train = list(train)
    if isinstance(settings, ClozeSettings):
        return _of_cloze(settings, declared, train)
    if "labels" not in type(settings).model_fields:
        return ()
    kind = tasks_with_heads()[settings.name]
    # Records of another kind may have no labels to look for.
    kind.check_kind(settings.name, train)
    if settings.labels is not None:
        return tuple(settings.labels)
    labels = kind.labels_in(train) if declared is None else tuple(declared)
    return _several(labels, "task.labels")


def template_of(settings: RunSettings, records: Iterable[Any], causal: bool) -> str | None:
    """The template that the method or the task names; None leaves it to the task.

    Args:
        settings: of the run; `manual` of a probing task is the pattern of the records' relation.
        records: of the run.
        causal: whether the backbone reads from left to right.

    Raises:
        ConfigError: two that differ, a count of slots without a template, or relations without one pattern.
    """
    of_task = getattr(settings.task, "template", None)
    patterns = getattr(settings.task, "patterns", None) or {}
    of_task = patterns.get(of_task, of_task)
    if isinstance(settings.task, ProbingSettings) and of_task == "manual":
        relations = sorted({record.tags.get("relation", "") for record in records})
        if len(relations) != 1:
            got = f"'manual' for records of {len(relations)} relations"
            raise ConfigError("task.template", got, "one relation", "give the template in words")
        of_task = pattern(relations[0], causal=causal)
    of_method = getattr(settings.method, "template", None)
    if isinstance(of_method, list):
        of_method = str(null_template(of_method, causal=causal))
    if isinstance(of_method, int):
        do = "write the template with its slots"
        raise ConfigError("method.template", f"{of_method}, a count of slots", "a template", do)
    if of_method is not None and of_task is not None and of_method != of_task:
        got = f"both '{of_method}' and task.template '{of_task}'"
        raise ConfigError("method.template", got, "one template", "leave one out")
    return of_method if of_method is not None else of_task


def _of_cloze(settings: Any, declared: Sequence[str] | None, train: list[Any]) -> tuple[str, ...]:
    """The labels that words are needed for; a verbalizer's order is the labels'."""
    if any(not isinstance(record, LabelledText) for record in train):
        return ()
    if isinstance(settings.verbalizer, dict):
        # Their order is the verbalizer's, and none of the format's may be missing there.
        found = tuple(declared) if declared is not None else tuple(settings.verbalizer)
        return tuple(sorted(found, key=lambda label: _place(label, list(settings.verbalizer))))
    seen = {label for record in train if (label := record.label) is not None}
    return _several(tuple(declared) if declared is not None else tuple(sorted(seen)), "task.verbalizer")


def _place(label: str, order: list[str]) -> int:
    return order.index(label) if label in order else len(order)


def _several(labels: tuple[str, ...], where: str) -> tuple[str, ...]:
    if len(labels) < 2:
        raise ConfigError(
            where,
            f"{list(labels)} in the training data",
            "at least two labels",
            "list them in task.labels",
        )
    return labels
