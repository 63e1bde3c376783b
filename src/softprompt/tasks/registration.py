"""The decorator `softprompt.task`, and what it refuses."""

from collections.abc import Callable, Sequence
from inspect import isabstract, isclass
from typing import TypeVar, get_args

from softprompt.config import TaskSettings
from softprompt.data import LabelledText
from softprompt.errors import ConfigError, kind_of, listed, nearest
from softprompt.files import HeadKind
from softprompt.metrics import METRICS
from softprompt.registry import check_parameters
from softprompt.tasks.base import Task
from softprompt.tasks.guarding import guard
from softprompt.tasks.headed import HeadTask, ReadingTask
from softprompt.tasks.outputs import OUTPUT_FORMS, OutputForm
from softprompt.tasks.registry import TASKS, TaskKind

_Task = TypeVar("_Task", bound=type[Task])


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
    metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)

    def register(kind: _Task) -> _Task:
        where = f"task '{name}'"
        _check_class(where, kind)
        _check_settings(where, name, settings, kind)
        readable = dict.fromkeys(one for row in TASKS.rows.values() for one in row.records)
        for one in records or (None,):
            if one not in readable:
                expected = f"some of {', '.join(each.__name__ for each in readable)}, of softprompt.data"
                raise ConfigError(where, f"records of {getattr(one, '__name__', one)}", expected)
        form = OUTPUT_FORMS.get(outputs) if isinstance(outputs, str) else outputs
        if not isinstance(form, OutputForm):
            expected = f"one of {', '.join(map(repr, OUTPUT_FORMS))}, or an OutputForm"
            raise ConfigError(where, f"outputs {outputs!r}", expected, nearest(str(outputs), OUTPUT_FORMS))
        _check_metrics(where, form, metrics)
        row = TaskKind(name, settings, kind, records, form, metrics, LabelledText in records)
        TASKS.add(name, row, kind)
        guard(name, kind)
        return kind

    return register


_OF_RUN = ("labels", "fields", "decoding")
"""What a run gives to the classes whose `__init__` names it."""


def _check_class(where: str, kind: object) -> None:
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


def _check_settings(where: str, name: str, settings: object, kind: type[Task]) -> None:
    if not isclass(settings) or not issubclass(settings, TaskSettings):
        got = f"the settings {getattr(settings, '__name__', settings)}"
        raise ConfigError(where, got, "a class derived from softprompt.TaskSettings")
    fields, heads, group = settings.model_fields, settings.head_kinds, settings.batch_group
    own = fields["name"].default
    if own != name:
        do = f"write name: Literal[{name!r}] = {name!r} in {settings.__name__}"
        raise ConfigError(where, f"settings whose name is {own!r}", f"'{name}'", do)
    if isinstance(heads, str):
        do = f"write head_kinds = ({heads!r},) in {settings.__name__}"
        raise ConfigError(f"{where}: head_kinds", "a text", "a tuple of kinds", do)
    for head in heads or ((None,) if issubclass(kind, HeadTask) else ()):
        if head not in get_args(HeadKind):
            got = "no kind of head" if head is None else f"the kind of head {head!r}"
            do = f"write head_kinds = (...,) in {settings.__name__}"
            raise ConfigError(where, got, f"some of {', '.join(get_args(HeadKind))}", do)
    needed = ["max_tokens"] * issubclass(kind, ReadingTask) + ["template"] * settings.takes_template
    for setting in needed:
        if setting not in fields:
            raise ConfigError(where, f"settings without {setting}", f"the setting {setting}")
    rows = [row for other, row in TASKS.rows.items() if other != name]
    others = [row.task for row in rows if row.settings.batch_group == group]
    if not all(issubclass(kind, ReadingTask if issubclass(one, ReadingTask) else one) for one in others):
        got = f"the group '{group}', whose examples are of another class"
        do = f"write batch_group = {name!r} in {settings.__name__}"
        raise ConfigError(where, got, "a group of its own", do)


def _check_metrics(where: str, form: OutputForm, metrics: Sequence[str]) -> None:
    of_form = {task for task, row in TASKS.rows.items() if row.outputs is form}
    known = [name for name, row in METRICS.rows.items() if of_form & set(row.tasks)]
    for name in metrics:
        if name not in known:
            expected = f"some of {', '.join(known)}" if known else "none: no metric takes these outputs"
            do = nearest(name, known) or "register a metric of your own for the task"
            raise ConfigError(where, f"the metric '{name}'", expected, do)
