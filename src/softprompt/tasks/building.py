"""From a run's settings to its task, with its labels and its template."""

from collections.abc import Iterable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

from softprompt.config import DecodingSettings, ProbingSettings, RunSettings, TaskSettings
from softprompt.data import pattern
from softprompt.errors import ConfigError
from softprompt.tasks.base import Task
from softprompt.tasks.registry import TASKS
from softprompt.text import null_template

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


def build_task(
    backbone: "Backbone",
    settings: TaskSettings,
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
    kind: Any = TASKS[settings.name].task
    run = {"labels": labels, "fields": fields, "decoding": decoding or DecodingSettings()}
    takes = signature(kind).parameters
    return kind(backbone, settings, **{name: value for name, value in run.items() if name in takes})


def labels_of(
    settings: TaskSettings, declared: Sequence[str] | None, train: Iterable[Any]
) -> tuple[str, ...]:
    """Every label, in the order of the head's outputs; empty for tasks without labels.

    Args:
        settings: of the task; its own list comes first.
        declared: the data format's own list, if it has one.
        train: the training records; without a list, their labels in alphabetical order (tags with `O` first).

    Raises:
        ConfigError: fewer than two labels, or records of another kind.
    """
    return TASKS[settings.name].task.labels_for(settings, declared, list(train))


def template_of(settings: RunSettings, records: Iterable[Any], causal: bool) -> str | None:
    """The template that the method or the task names; None leaves the template to the task.

    Args:
        settings: of the run; `manual` of a probing task is the pattern of the records' relation.
        records: of the run.
        causal: whether the backbone reads from left to right.

    Raises:
        ConfigError: two templates that differ, a count of slots without a template, or records of several
            relations for one pattern.
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
