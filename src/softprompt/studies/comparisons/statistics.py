"""Tests of whether one method is better than another, and the count of wins."""

import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.errors import DataError, counted

ALPHA = 0.025
"""The level of significance of one-sided tests, as in null prompts (2106.13353)."""


@dataclass(frozen=True)
class Wins:
    """The result of pairwise tests in one column.

    Args:
        p: of each row against each rival, one-sided.
        score: the number of rivals that each row significantly beats.
        winners: the rows with the largest score; all rows if no row beats another.
    """

    p: Mapping[str, Mapping[str, float]]
    score: Mapping[str, int]
    winners: tuple[str, ...]


def welch(a: Sequence[float], b: Sequence[float]) -> float:
    """One-sided Welch t-test of whether the mean of `a` is larger than that of `b`.

    Source: Welch 1947, with the Welch-Satterthwaite degrees of freedom, by `scipy.stats`.

    If neither side varies, the formula divides by zero, and p is the limit: 0.5 for equal constants, 0 or 1
    for different ones.

    Args:
        a: at least two independent values, e.g. one per seed.
        b: the rival's, at least two.

    Returns:
        p, 0 to 1.

    Raises:
        DataError: fewer than two values, or one that is no finite number.
    """
    _check("welch", a, b)
    # Exact means, so that constants of different counts are equal.
    difference = statistics.mean(a) - statistics.mean(b)
    spreads = [statistics.stdev(side) for side in (a, b)]
    largest = max(spreads)
    if largest == 0:
        return _certain(difference)
    from scipy import stats

    # In units of the larger deviation, since the squares of very small ones would underflow.
    ours, theirs = (spread / largest for spread in spreads)
    tested: Any = stats.ttest_ind_from_stats(
        difference / largest, ours, len(a), 0.0, theirs, len(b), equal_var=False, alternative="greater"
    )
    return float(tested.pvalue)


def paired_t(a: Sequence[float], b: Sequence[float]) -> float:
    """One-sided paired t-test of whether `a` is larger than `b`, e.g. over relations or columns.

    Source: `scipy.stats.ttest_rel`. If all differences are equal, p is the limit as in `welch`: 0.5 for zero,
    else 0 or 1.

    Args:
        a: at least two values.
        b: the rival's, in the same order.

    Returns:
        p, 0 to 1.

    Raises:
        DataError: fewer than two pairs, lengths that differ, or a value that is no finite number.
    """
    differences = _paired("paired_t", a, b)
    if len(set(differences)) == 1:
        return _certain(differences[0])
    from scipy import stats

    with warnings.catch_warnings():
        # scipy warns of differences that are nearly the same, which are valid here.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        tested: Any = stats.ttest_rel(a, b, alternative="greater")
    return float(tested.pvalue)


def wilcoxon(a: Sequence[float], b: Sequence[float]) -> float:
    """One-sided Wilcoxon signed-rank test of whether `a` is larger than `b`, by pairs.

    Source: Wilcoxon 1945, by `scipy.stats.wilcoxon`: equal pairs are dropped; exact for up to 50 pairs
    without ties, else by permutation or the normal approximation. p is 0.5 if all pairs are equal.

    Args:
        a: at least two values.
        b: the rival's, in the same order.

    Returns:
        p, 0 to 1.

    Raises:
        DataError: as `paired_t`.
    """
    from scipy import stats

    # Rounded, since floating point gives equal differences of scores unequal ranks.
    differences = [round(value, 9) for value in _paired("wilcoxon", a, b)]
    if not any(differences):
        return 0.5
    tested: Any = stats.wilcoxon([value for value in differences if value], alternative="greater")
    return float(tested.pvalue)


def count_wins(rows: Mapping[str, Sequence[float]], alpha: float = ALPHA) -> Wins:
    """How many rivals each row significantly beats, and which rows beat the most.

    Source: null prompts (2106.13353), "# wins": one-sided Welch tests between each pair of methods over
    their seeds (p < 0.025). Every method that beats as many rivals as the best one has a win.

    Args:
        rows: the values of each method on one data set, larger is better; at least two of each.
        alpha: the level of significance.

    Returns:
        The wins; without winners for fewer than two rows.

    Raises:
        DataError: as `welch`.
    """
    p = {
        row: {rival: welch(rows[row], rows[rival]) for rival in rows if rival != row}
        for row in rows
    }  # fmt: skip
    score = {row: sum(value < alpha for value in p[row].values()) for row in rows}
    most = max(score.values(), default=0)
    winners = tuple(row for row in rows if score[row] == most) if len(rows) > 1 else ()
    return Wins(p, score, winners)


def _certain(difference: float) -> float:
    """The p of a difference that does not vary."""
    return 0.5 if difference == 0 else 0.0 if difference > 0 else 1.0


def _paired(where: str, a: Sequence[float], b: Sequence[float]) -> list[float]:
    if len(a) != len(b):
        raise DataError(
            where, f"{len(a)} and {counted(len(b), 'value')}", "pairs: as many values of one as of the other"
        )
    _check(where, a, b)
    return [x - y for x, y in zip(a, b, strict=True)]


def _check(where: str, *sides: Sequence[float]) -> None:
    for side in sides:
        if len(side) < 2:
            raise DataError(where, counted(len(side), "value"), "at least 2 values, since one has no spread")
        for value in side:
            if not math.isfinite(value):
                raise DataError(where, value, "finite numbers")
