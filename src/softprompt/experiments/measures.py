"""What a study's tables and figures measure: a test metric of all records, or of one group of them."""

from collections.abc import Mapping
from typing import Any

from softprompt import metrics

GROUPS = ("seen", "unseen")
"""Groups of test records with scores of their own, where a data set has them: `bleu@seen`."""


def metric_of(measure: str) -> str:
    """The metric of `metric` or `metric@group`."""
    return measure.partition("@")[0]


def group_of(measure: str) -> str:
    """The group of `metric@group`; `all` without one."""
    return measure.partition("@")[2] or "all"


def higher_is_better(measure: str) -> bool:
    """Whether a larger figure is a better one; also of the development loss."""
    return metrics.higher_is_better(metric_of(measure))


def label(measure: str, direction: bool = True) -> str:
    """A measure as people read it, e.g. `TER, unseen (lower is better)`.

    Args:
        direction: whether to say that lower is better where it is.
    """
    group = group_of(measure)
    shown = metrics.label_of(metric_of(measure))
    shown += "" if group == "all" else f", {group}"
    return shown if higher_is_better(measure) or not direction else f"{shown} (lower is better)"


def scores_of(facts: Mapping[str, Any]) -> dict[str, float]:
    """Every score in what a `result.json` says, by measure, those of all records first."""
    found: dict[str, float] = {}
    for row in sorted(facts.get("scores", []), key=lambda row: row["group"] != "all"):
        at = "" if row["group"] == "all" else f"@{row['group']}"
        found |= {f"{metric}{at}": value for metric, value in row["values"].items()}
    return found
