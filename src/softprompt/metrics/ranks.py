"""Scores of the right answer's rank."""

from collections.abc import Sequence
from typing import Any

from softprompt.errors import DataError
from softprompt.metrics.scores import Pairs, check_lengths


def rank_pairs(outputs: Sequence[int | None], references: Sequence[Any]) -> Pairs:
    """The rank of each right answer, 1 for the best, and the answer itself.

    Raises:
        DataError: nothing to score, lengths that differ, or a rank that is unknown (None) or below 1.
    """
    if not outputs:
        raise DataError("metrics", "no ranks", "at least one rank")
    check_lengths(outputs, references)
    for i, rank in enumerate(outputs):
        if rank is None or rank < 1:
            raise DataError(f"outputs[{i}]", f"rank {rank}", "a rank from 1, of a record that has its answer")
    return Pairs(list(outputs), list(references))


def p_at_1(outputs: list[int], references: list[Any]) -> float:
    """Precision at 1 in percent, as LAMA (1909.01066) and P-Tuning (2103.10385) report it."""
    return 100 * (sum(rank == 1 for rank in outputs) / len(outputs))


def p_at_10(outputs: list[int], references: list[Any]) -> float:
    """Precision at 10 in percent."""
    return 100 * (sum(rank <= 10 for rank in outputs) / len(outputs))


def mrr(outputs: list[int], references: list[Any]) -> float:
    """Mean reciprocal rank in percent."""
    return 100 * (sum(1 / rank for rank in outputs) / len(outputs))
