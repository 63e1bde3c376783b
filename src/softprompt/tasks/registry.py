"""Every task, a row each.

Settings, metrics, reports and `softprompt predict` take what they need of a task from these rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import isabstract, isclass
from typing import TYPE_CHECKING, Any, TypeVar

from softprompt.config import (
    ChoiceSettings,
    ClassificationSettings,
    ClozeSettings,
    GenerationSettings,
    ImageClassificationSettings,
    ProbingSettings,
    RegressionSettings,
    SpanSettings,
    TaggingSettings,
    TaskSettings,
)
from softprompt.data import Choices, LabelledPicture, LabelledText, Question, Record, TaggedWords
from softprompt.errors import ConfigError, kind_of, listed, nearest
from softprompt.metrics import METRICS
from softprompt.registry import Registry, check_parameters
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
    TaskKind("generation", GenerationSettings, "generation:GenerationTask", (Record,), _FORMS["text"]),
    TaskKind(
        "classification", ClassificationSettings, "classification:ClassificationTask", _TEXT,
        _FORMS["label"], second=True,
    ),
    TaskKind("tagging", TaggingSettings, "tagging:TaggingTask", (TaggedWords,), _FORMS["tags"]),
    TaskKind("choice", ChoiceSettings, "choice:ChoiceTask", (Choices,), _FORMS["choice"]),
    TaskKind("spans", SpanSettings, "spans:SpanTask", (Question,), _FORMS["answer"], second=True),
    TaskKind(
        "regression", RegressionSettings, "classification:RegressionTask", _TEXT, _FORMS["number"],
        second=True,
    ),
    TaskKind(
        "cloze", ClozeSettings, "cloze:ClozeTask", (LabelledText, Choices), _FORMS["label_or_choice"],
        second=True,
    ),
    TaskKind("probing", ProbingSettings, "probing:ProbingTask", _TEXT, _FORMS["ranked_words"]),
    TaskKind(
        "image_classification", ImageClassificationSettings, "images:ImageClassificationTask",
        (LabelledPicture,), _FORMS["ranked_labels"], needs=("sklearn",),
    ),
):  # fmt: skip
    TASKS.add(_row.name, _row, _row.settings)


def task(
    name: str,
    settings: type[TaskSettings],
    record: type | Sequence[type],
    outputs: str | OutputForm,
    *,
    metrics: Sequence[str] = (),
) -> Callable[[_Task], _Task]:
    """Register a class as a task, to be named in a recipe's `task`.

    The class derives from `softprompt.tasks.Task`: from `ReadingTask` where a head reads the answer off the
    states of a text. It is made from the backbone and the settings, and from those of `labels`, `fields` and
    `decoding` that its `__init__` names.

    Args:
        name: in recipes and results.
        settings: what a recipe may set, a class derived from `softprompt.TaskSettings` whose field `name` is
            `Literal[name]` with that default.
        record: what the task reads, one of `softprompt.data`'s classes of records, or several.
        outputs: the form of what it predicts: one of `softprompt.tasks.OUTPUT_FORMS` by name, or an
            `OutputForm` of your own.
        metrics: what the outputs can be scored by, of metrics for outputs of the same form; the first is the
            default. Metrics that are registered for this task come behind them.

    Raises:
        ConfigError: a name that another task has, or a class, settings, records, outputs or metrics that do
            not fit.
    """
    records = (record,) if isinstance(record, type) else tuple(record)

    def register(kind: _Task) -> _Task:
        where = f"task '{name}'"
        _check_class(where, kind)
        _check_settings(where, name, settings, kind)
        known = TASKS["generation"], *(row for other in TASKS if (row := TASKS.get(other)))
        readable = dict.fromkeys(one for row in known for one in row.records)
        for one in records or (None,):
            if one not in readable:
                expected = f"some of {', '.join(each.__name__ for each in readable)}, of softprompt.data"
                raise ConfigError(where, f"records of {getattr(one, '__name__', one)}", expected)
        form = OUTPUT_FORMS.get(outputs) if isinstance(outputs, str) else outputs
        if not isinstance(form, OutputForm):
            expected = f"one of {', '.join(map(repr, OUTPUT_FORMS))}, or an OutputForm"
            raise ConfigError(where, f"outputs {outputs!r}", expected, nearest(str(outputs), OUTPUT_FORMS))
        _check_metrics(where, form, metrics)
        row = TaskKind(name, settings, kind, records, form, tuple(metrics), LabelledText in records)
        TASKS.add(name, row, kind)
        return kind

    return register


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


_OF_RUN = ("labels", "fields", "decoding")
"""What a run gives to the classes whose `__init__` names it."""


def _check_class(where: str, kind: object) -> None:
    from softprompt.tasks.base import Task

    if not isclass(kind):
        got, do = f"{kind_of(kind)}, which is no class", "write a class, e.g. class Own(ReadingTask)"
        raise ConfigError(where, got, "a class derived from softprompt.tasks.Task", do)
    if not issubclass(kind, Task):
        got, do = f"the class {kind.__name__}", f"write class {kind.__name__}(ReadingTask)"
        raise ConfigError(where, got, "a class derived from softprompt.tasks.Task", do)
    if isabstract(kind):
        missing = sorted(kind.__abstractmethods__)
        got = f"the class {kind.__name__} without {listed(missing)}"
        raise ConfigError(where, got, "a class that has every method of a task", "write what is missing")
    check_parameters(where, kind, ("a backbone", "its settings"), _OF_RUN)


def _check_settings(where: str, name: str, settings: object, kind: "type[Task]") -> None:
    from softprompt.tasks.reading import ReadingTask

    if not isclass(settings) or not issubclass(settings, TaskSettings):
        got = f"the settings {getattr(settings, '__name__', settings)}"
        raise ConfigError(where, got, "a class derived from softprompt.TaskSettings")
    if settings.model_fields["name"].default != name:
        got = f"settings whose name is {settings.model_fields['name'].default!r}"
        field = f"name: Literal[{name!r}] = {name!r}"
        raise ConfigError(where, got, f"'{name}'", f"write {field} in {settings.__name__}")
    group = settings.batch_group
    if group == TaskSettings.batch_group and not issubclass(kind, ReadingTask):
        do = f"write batch_group = {name!r} in {settings.__name__}"
        expected = "a name of its own for a class that does not derive from ReadingTask"
        raise ConfigError(where, f"the group '{group}'", expected, do)


def _check_metrics(where: str, form: OutputForm, metrics: Sequence[str]) -> None:
    rows = {name: row for name in METRICS if (row := METRICS.get(name))}
    of_form = {task for task in TASKS if (row := TASKS.get(task)) and row.outputs is form}
    known = [name for name, row in rows.items() if of_form & set(row.tasks)]
    for name in metrics:
        if name not in known:
            expected = f"some of {', '.join(known)}" if known else "none: no metric takes these outputs"
            do = nearest(name, known) or "register a metric of your own for the task"
            raise ConfigError(where, f"the metric '{name}'", expected, do)
