"""Scores as texts, never rounded to a better one."""

import statistics
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from softprompt.studies.definition.measures import higher_is_better


def cut(value: float, measure: str, decimals: int = 2) -> str:
    """A score with a fixed number of decimals, cut towards the worse side.

    Where higher is better 69.699 is shown as 69.69, and where lower is better 52.301 as 52.31. Before that
    the score is rounded to nine decimals, since later ones are errors of floating point.
    """
    exact = Decimal(f"{value:.9f}")
    side = ROUND_FLOOR if higher_is_better(measure) else ROUND_CEILING
    shown = exact.quantize(Decimal(1).scaleb(-decimals), side)
    return f"{abs(shown) if shown == 0 else shown:.{decimals}f}"


def mean_and_std(values: Sequence[float], measure: str) -> str:
    """`71.23 ± 1.20`: the mean cut, the sample standard deviation rounded; `-` without values."""
    if not values:
        return "-"
    shown = cut(statistics.fmean(values), measure)
    return shown if len(values) < 2 else f"{shown} ± {statistics.stdev(values):.2f}"
