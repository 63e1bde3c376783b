"""What studies read of a run: its test metrics, of all records or of one group, and facts of its result."""

from collections.abc import Mapping
from typing import Any

from softprompt import metrics
from softprompt.config import put

GROUPS = ("seen", "unseen")
"""Groups of test records that have scores of their own in some data sets: `bleu@seen`."""


def metric_of(measure: str) -> str:
    """The metric of `metric` or `metric@group`."""
    return measure.partition("@")[0]


def group_of(measure: str) -> str:
    """The group of `metric@group`; `all` without one."""
    return measure.partition("@")[2] or "all"


def higher_is_better(measure: str) -> bool:
    """Whether a larger value is better; the measure can also be the development `loss`."""
    return metrics.higher_is_better(metric_of(measure))


def label(measure: str, direction: bool = True) -> str:
    """A measure as tables show it, e.g. `TER, unseen (lower is better)`.

    Args:
        direction: whether to add "lower is better" to a measure of errors.
    """
    group = group_of(measure)
    shown = metrics.label_of(metric_of(measure))
    shown += "" if group == "all" else f", {group}"
    return shown if higher_is_better(measure) or not direction else f"{shown} (lower is better)"


def scores_of(facts: Mapping[str, Any]) -> dict[str, float]:
    """Every score of a `result.json` by measure, those of all records first."""
    scores: dict[str, float] = {}
    for row in sorted(facts.get("scores", []), key=lambda row: row["group"] != "all"):
        at = "" if row["group"] == "all" else f"@{row['group']}"
        scores |= {f"{metric}{at}": value for metric, value in row["values"].items()}
    return scores


def groups_of(scores: Mapping[str, float]) -> list[dict[str, Any]]:
    """Scores by measure in the form of a `result.json`."""
    groups: dict[str, dict[str, float]] = {}
    for measure, value in scores.items():
        groups.setdefault(group_of(measure), {})[metric_of(measure)] = value
    return [{"group": group, "values": values, "notes": []} for group, values in groups.items()]


FACTS: Mapping[str, tuple[type, str]] = {
    "scores": (list, "scores"),
    "best": (dict, "best"),
    "steps": (int, "steps"),
    "seconds": (float, "seconds.training"),
    "trained_parameters": (int, "counts.trained_parameters"),
    "stored_parameters": (int, "counts.stored_parameters"),
    "versions": (dict, "versions"),
    "hardware": (str, "hardware"),
}
"""The facts of a `result.json` that tables and `study.json` keep: type, and dotted key in the file."""


def fact_of(result: Any, name: str) -> Any:
    """A fact of a `result.json`; None where it is missing or has another type."""
    kind, path = FACTS[name]
    for key in path.split("."):
        result = result.get(key) if isinstance(result, Mapping) else None
    return result if isinstance(result, (int, float) if kind is float else kind) else None


def result_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A `result.json` with these facts.

    Raises:
        KeyError: a fact is missing.
    """
    result: dict[str, Any] = {}
    for name, (_, path) in FACTS.items():
        put(result, path, facts[name])
    return result


_LARGEST = 1e15
"""The largest magnitude of a number that reports show."""


def is_number(value: Any) -> bool:
    """Whether a value from a file is a number that a table can show."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def unusable(result: Mapping[str, Any]) -> str:
    """The first part of a `result.json` that reports need and cannot use; empty where all is there."""
    scores = result.get("scores")
    if not isinstance(scores, list) or not all(map(_is_group, scores)):
        return "scores"
    for name, (kind, path) in FACTS.items():
        fact = fact_of(result, name)
        if fact is None or (kind in (int, float) and not is_number(fact)):
            return path.partition(".")[0]
    best = result["best"]
    step, metric = best.get("step"), best.get("metric")
    return "" if (step is None or is_number(step)) and isinstance(metric, str | None) else "best"


def _is_group(group: Any) -> bool:
    """Whether a value is the scores of a group of test records."""
    if not isinstance(group, dict) or not {"group", "values", "notes"} <= set(group):
        return False
    values, notes = group["values"], group["notes"]
    return (
        isinstance(group["group"], str)
        and isinstance(values, dict)
        and all(map(is_number, values.values()))
        and isinstance(notes, list)
        and all(isinstance(note, str) for note in notes)
    )
