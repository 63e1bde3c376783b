"""How far the probabilities of answers can be believed."""

from collections.abc import Sequence
from typing import Any

from softprompt.errors import DataError, counted

N_BINS = 15


def calibration_of(right: Sequence[bool], confidence: Sequence[float]) -> dict[str, Any]:
    """The expected calibration error of some answers, with the bins that it is made of.

    Source: Guo et al. 2017 (1706.04599), equation 3: fifteen bins of equal width over the probability of what
    was said; the mean distance between the share of right answers and the mean probability of a bin, weighted
    by its answers.

    Args:
        right: of each answer, whether it is right.
        confidence: of each answer, its probability (0-1).

    Returns:
        `ece`, `accuracy` and `confidence` (the mean probability) in percent, `answers`, and `bins` with
        `from`, `to`, `answers`, `accuracy` and `confidence`; empty bins are left out.

    Raises:
        DataError: nothing to measure, lengths that differ, or something else than probabilities.
    """
    if not right or len(right) != len(confidence):
        got = f"{counted(len(right), 'answer')} and {len(confidence)} probabilities"
        raise DataError("calibration", got, "a probability for each of some answers")
    if bad := [value for value in confidence if not 0 <= value <= 1.0001]:
        raise DataError("calibration", repr(bad[0]), "a probability from 0 to 1")
    held: list[list[int]] = [[] for _ in range(N_BINS)]
    for i, value in enumerate(confidence):
        # a bin holds its upper end and not its lower, as in the source
        edge = next((k for k in range(N_BINS) if value <= (k + 1) / N_BINS), N_BINS - 1)
        held[edge].append(i)
    bins = []
    for k, members in enumerate(held):
        if members:
            bins.append(
                {
                    "from": k / N_BINS,
                    "to": (k + 1) / N_BINS,
                    "answers": len(members),
                    "accuracy": 100 * sum(right[i] for i in members) / len(members),
                    "confidence": 100 * sum(confidence[i] for i in members) / len(members),
                }
            )
    n = len(right)
    return {
        "ece": sum(row["answers"] * abs(row["accuracy"] - row["confidence"]) for row in bins) / n,
        "accuracy": 100 * sum(right) / n,
        "confidence": 100 * sum(confidence) / n,
        "answers": n,
        "bins": bins,
    }
