"""Scorers of texts, labels, tags, answers, ranks and numbers, on top of the field's usual libraries.

`METRICS` has a row for each metric.
"""

from softprompt.metrics.labels import by_class, confusion
from softprompt.metrics.registry import (
    METRICS,
    Metric,
    find_metric,
    higher_is_better,
    label_of,
    metric,
    metrics_of,
    require_libraries,
    score,
)
from softprompt.metrics.scores import Scores

__all__ = [
    "METRICS",
    "Metric",
    "Scores",
    "by_class",
    "confusion",
    "find_metric",
    "higher_is_better",
    "label_of",
    "metric",
    "metrics_of",
    "require_libraries",
    "score",
]
