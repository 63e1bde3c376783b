"""Scorers of generated text, thin over the libraries the field uses."""

from softprompt.metrics.scores import HIGHER_IS_BETTER, LABELS, Scores, score

__all__ = ["HIGHER_IS_BETTER", "LABELS", "Scores", "score"]
