"""Scorers of texts, labels, tags, answers, ranks and numbers, thin over the libraries the field uses."""

from softprompt.metrics.answers import score_answers
from softprompt.metrics.entities import score_entities
from softprompt.metrics.labels import score_labels
from softprompt.metrics.ranked import score_ranked
from softprompt.metrics.ranks import score_ranks
from softprompt.metrics.scores import HIGHER_IS_BETTER, LABELS, Scores, score
from softprompt.metrics.values import score_values

__all__ = [
    "HIGHER_IS_BETTER",
    "LABELS",
    "Scores",
    "score",
    "score_answers",
    "score_entities",
    "score_labels",
    "score_ranked",
    "score_ranks",
    "score_values",
]
