"""The table of metrics, and the function that scores outputs by some of them.

Settings, tables, reports and pages read names, labels and tasks from this table.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from numbers import Real
from typing import Any, TypeVar

from softprompt.errors import ConfigError, kind_of, listed, nearest
from softprompt.extras import require
from softprompt.metrics import label_sets, labels, ranks, regression, spans, tagging, text
from softprompt.metrics.captions import captions
from softprompt.metrics.languages import Reading, notes_of
from softprompt.metrics.scores import Pairs, Scores
from softprompt.registry import Registry, check_parameters

Scorer = Callable[..., float | Scores]
"""A function of outputs, references and the `_FACTS` among its parameters; returns one figure or several.

Metrics with the same function are computed in one call.
"""

_Scorer = TypeVar("_Scorer", bound=Scorer)
_FACTS = ("names", "labels", "groups", "rankings", "language")


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: in recipes and results.
        label: column head in tables.
        tasks: whose outputs it scores.
        function: that computes it.
        higher_is_better: False for errors.
        needs: modules of the extra `metrics` that the function imports.
    """

    name: str
    label: str
    tasks: tuple[str, ...]
    function: Scorer
    higher_is_better: bool = True
    needs: tuple[str, ...] = ()


_LABELS = ("classification", "cloze")
_ANY_LABELS = ("classification", "choice", "cloze", "image_classification")
_PICTURES = ("image_classification",)
_SETS = ("multi_label_classification",)

METRICS: Registry[Metric] = Registry("metric", "metrics", "softprompt.metrics")
"""Every metric by name, in the order of tables; the first of a task is its default."""

for _row in (
    Metric("bleu", "BLEU", ("generation",), text.bleu, needs=("sacrebleu",)),
    Metric("nist", "NIST", ("generation",), text.nist, needs=("sacrebleu",)),
    Metric("meteor", "METEOR", ("generation",), captions, needs=("pycocoevalcap",)),
    # as E2E's scripts compute it; `rougeL` is that of the package rouge-score
    Metric("rouge_l", "ROUGE-L", ("generation",), captions, needs=("pycocoevalcap",)),
    Metric("cider", "CIDEr", ("generation",), captions, needs=("pycocoevalcap",)),
    Metric("ter", "TER", ("generation",), text.ter, higher_is_better=False, needs=("sacrebleu",)),
    Metric("rouge1", "R-1", ("generation",), text.rouge, needs=("rouge_score",)),
    Metric("rouge2", "R-2", ("generation",), text.rouge, needs=("rouge_score",)),
    Metric("rougeL", "R-L", ("generation",), text.rouge, needs=("rouge_score",)),
    Metric("accuracy", "accuracy", _ANY_LABELS, labels.accuracy),
    Metric("top5_accuracy", "top-5 accuracy", _PICTURES, labels.top5_accuracy),
    Metric("class_accuracy", "mean class accuracy", _PICTURES, labels.class_accuracy),
    Metric("f1", "F1", _LABELS, labels.f1, needs=("sklearn",)),
    Metric("micro_f1", "micro F1", _SETS, label_sets.micro_f1, needs=("sklearn",)),
    Metric("macro_f1", "macro F1", (*_LABELS, *_PICTURES, *_SETS), labels.macro_f1, needs=("sklearn",)),
    Metric("subset_accuracy", "exact match", _SETS, label_sets.subset_accuracy),
    Metric("mcc", "MCC", _LABELS, labels.mcc, needs=("sklearn",)),
    Metric("question_em", "question EM", ("classification",), labels.question_em),
    Metric("entity_f1", "entity F1", ("tagging",), tagging.entities, needs=("seqeval",)),
    Metric("entity_precision", "entity P", ("tagging",), tagging.entities, needs=("seqeval",)),
    Metric("entity_recall", "entity R", ("tagging",), tagging.entities, needs=("seqeval",)),
    Metric("answer_f1", "answer F1", ("spans",), spans.answer_f1),
    Metric("exact_match", "EM", ("spans",), spans.exact_match),
    Metric("pearson", "Pearson", ("regression",), regression.correlations, needs=("scipy",)),
    Metric("spearman", "Spearman", ("regression",), regression.correlations, needs=("scipy",)),
    Metric("rmse", "RMSE", ("regression",), regression.rmse, higher_is_better=False),
    Metric("p_at_1", "P@1", ("probing",), ranks.p_at_1),
    Metric("p_at_10", "P@10", ("probing",), ranks.p_at_10),
    Metric("mrr", "MRR", ("probing",), ranks.mrr),
):
    METRICS.add(_row.name, _row, _row.function)


def metric(
    name: str, task: str | Sequence[str] = (), *, label: str | None = None, higher_is_better: bool = True
) -> Callable[[_Scorer], _Scorer]:
    """Register a function as a metric, to be named in a recipe's `metrics`.

    The function gets the outputs and the references of a test set, one of each for a record, as
    `docs/extending.md` says for each task, and by parameters of these names, where it has them, `labels`
    (the declared labels), `groups` (the question of each record, or None), `rankings` (labels by record, of
    pictures), `language` (a `Reading`, of texts and answers) and `names` (the requested metrics, for a
    function that is registered several times). It returns
    a finite number, or `softprompt.metrics.Scores` with notes, where a metric that is undefined is left out.

    Args:
        name: in recipes and results.
        task: whose outputs it scores, one task or several.
        label: column head in tables; the name by default.
        higher_is_better: False for errors; decides which checkpoint and which row of a table is the best.

    Raises:
        ConfigError: a name that another metric has, an unknown task, or a function with other parameters.
    """
    METRICS.check_name(name)
    where = f"metric '{name}'"
    if label is not None and not isinstance(label, str):
        raise ConfigError(f"{where}: label", kind_of(label), "a text, or None")
    if not isinstance(higher_is_better, bool):
        raise ConfigError(f"{where}: higher_is_better", repr(higher_is_better), "True or False")
    tasks = (task,) if isinstance(task, str) else tuple(task)

    def register(function: _Scorer) -> _Scorer:
        row = Metric(name, label or name, tasks, function, higher_is_better)
        _check_row(row)
        METRICS.add(name, row, function)
        return function

    return register


_NO_METRICS = ("loss", "development")
"""What can select a checkpoint beside metrics; lower is better."""


def find_metric(name: str) -> Metric | None:
    """The row of a name, or None; the package that offers the metric is imported.

    Raises:
        ConfigError: two packages offer it, or the one that does cannot be imported.
    """
    if name in _NO_METRICS or name not in METRICS:
        return None
    return METRICS[name]


def metrics_of(task: str) -> list[str]:
    """The names of a task's metrics, its default first; none for an unknown task."""
    try:
        own: Sequence[str] = _tasks()[task].metrics
    except ConfigError:
        return []
    naming = [name for name, row in METRICS.rows.items() if task in row.tasks]
    return list(dict.fromkeys([*own, *naming]))


def label_of(name: str) -> str:
    """A column head; the name itself if no metric has that name (`loss`)."""
    row = find_metric(name)
    return row.label if row else name


def higher_is_better(name: str) -> bool:
    """Whether a larger figure is better; False if no metric has that name (`loss`)."""
    row = find_metric(name)
    return row is not None and row.higher_is_better


def require_libraries(names: Sequence[str]) -> None:
    """Refuse metrics whose libraries are not installed.

    Raises:
        SoftpromptError: names the metric, its library and the command that installs it.
    """
    for name in names:
        if (row := find_metric(name)) and row.needs:
            require("metrics", f"metric {name}", *row.needs)


def score(
    names: Sequence[str],
    outputs: Sequence[Any],
    references: Sequence[Any],
    *,
    task: str = "generation",
    **facts: Any,
) -> Scores:
    """Score the outputs of one task against its references.

    Args:
        names: metrics of the task.
        outputs: one for each record: a text (an empty one scores as a miss), a label, tags, an answer (an
            empty text says that there is none), a number, the rank of the right answer, or a ranking of
            labels (at least five, or all that there are).
        references: as many: texts, a label, tags, all right answers, a number, the right answer, or a label.
        task: as in recipes.
        facts: `labels`, the declared ones, for tasks with labels; `groups`, which question each record
            belongs to, for classification; `language` of texts and answers, `auto` (that of the references'
            scripts) by default, or a `Reading` that was found before.

    Returns:
        Percent (0-100) for most; -100 to 100 for correlations, raw for `nist` (about 0-12) and `cider`
        (0-10), `rmse` in the unit of the numbers; `ter` may pass 100. Each scorer says its own.

    Raises:
        ConfigError: a metric that is unknown, scores another task or does not fit these labels; or one of
            another package that raises an exception or returns no finite number.
        DataError: nothing to score, lengths that differ, or outputs and references of another kind.
        SoftpromptError: the library of a metric is not installed.
    """
    _check_names(names, task)
    require_libraries(names)
    tasks = _tasks()
    with tasks.naming(task):
        pairs = tasks[task].outputs.pairs(outputs, references, **facts)
    if not isinstance(pairs, Pairs):
        where, expected = f"task '{task}': pairs of its OutputForm", "a softprompt.metrics.Pairs"
        raise ConfigError(where, kind_of(pairs), expected)
    values: dict[str, float] = {}
    notes: list[str] = [] if pairs.reading is None else notes_of(pairs.reading, names, pairs.outputs)
    for function in dict.fromkeys(METRICS[name].function for name in METRICS if name in names):
        own = [name for name in names if METRICS[name].function is function]
        with METRICS.naming(own[0]):
            # Lists of its own, since a function may sort them.
            found = function([*pairs.outputs], [*pairs.references], **_wanted(function, pairs, own))
        if not isinstance(found, Scores):
            found = Scores(dict.fromkeys(own, found))
        missing = [name for name in own if name not in found.values]
        if missing and not found.notes:
            got, expected = f"Scores without {listed(missing)}", "a figure for each, or a note that says why"
            raise ConfigError(f"metric '{own[0]}'", got, expected)
        values |= {name: _number(name, value) for name, value in found.values.items() if name in own}
        notes += found.notes
    return Scores({name: values[name] for name in names if name in values}, tuple(notes))


def _check_names(names: Sequence[str], task: str) -> None:
    """Raises ConfigError with the metric, and its tasks or the nearest known name."""
    for name in names:
        row = find_metric(name)
        known = metrics_of(task)
        if row is None or name not in known:
            hint = f"use it for {listed(row.tasks)}" if row else nearest(str(name), known)
            raise ConfigError("metrics", repr(name), f"some of {', '.join(known)}", hint)


def _check_row(row: Metric) -> None:
    where = f"metric '{row.name}'"
    if row.name in _NO_METRICS:
        got, hint = "a name that means the loss on the development set", "choose another name"
        raise ConfigError(where, got, "a name of its own", hint)
    tasks = _tasks()
    for task in row.tasks or ("",):
        if task not in tasks:
            expected = f"some of {', '.join(tasks)}"
            raise ConfigError(where, f"the task {task!r}", expected, nearest(task, tasks))
    check_parameters(where, row.function, ("outputs", "references"), _FACTS)


def _tasks() -> Any:
    # By its name, since tasks stand above metrics; the table itself is light.
    return import_module("softprompt.tasks").TASKS


def _wanted(function: Scorer, pairs: Pairs, names: list[str]) -> dict[str, Any]:
    known: dict[str, Any] = {"names": names, "labels": pairs.labels, "groups": pairs.groups}
    known |= {"rankings": pairs.rankings, "language": pairs.reading or Reading()}
    return {name: known[name] for name in inspect.signature(function).parameters if name in known}


def _number(name: str, value: Any) -> float:
    if not isinstance(value, Real) or not math.isfinite(value):
        got = f"{value!r} of {name!r}" if isinstance(value, Real) else f"{kind_of(value)} of {name!r}"
        do = "leave it out of softprompt.metrics.Scores, with a note, where it is undefined"
        if not isinstance(value, Real):
            do = "return a float"
        raise ConfigError("metrics", got, "a finite number", do)
    return float(value)
