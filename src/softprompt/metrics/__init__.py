"""Scorers of texts, labels, tags, answers, ranks and numbers, on top of the field's usual libraries.

`METRICS` has a row for each metric.
"""

from softprompt.metrics.calibration import calibration_of
from softprompt.metrics.label_sets import by_label, label_set_pairs
from softprompt.metrics.labels import by_class, confusion, label_pairs, ranking_pairs
from softprompt.metrics.languages import LanguageName, Reading, reading_of
from softprompt.metrics.ranks import rank_pairs
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
from softprompt.metrics.regression import number_pairs
from softprompt.metrics.scores import Pairs, Scores
from softprompt.metrics.spans import answer_pairs
from softprompt.metrics.tagging import by_type, tag_pairs
from softprompt.metrics.text import text_pairs

__all__ = [
    "METRICS",
    "LanguageName",
    "Metric",
    "Pairs",
    "Reading",
    "Scores",
    "answer_pairs",
    "by_class",
    "by_label",
    "by_type",
    "calibration_of",
    "confusion",
    "find_metric",
    "higher_is_better",
    "label_of",
    "label_pairs",
    "label_set_pairs",
    "metric",
    "metrics_of",
    "number_pairs",
    "rank_pairs",
    "ranking_pairs",
    "reading_of",
    "require_libraries",
    "score",
    "tag_pairs",
    "text_pairs",
]
