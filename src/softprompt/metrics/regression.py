"""Scores of predicted numbers."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

from softprompt.errors import DataError
from softprompt.metrics.scores import Pairs, Scores, check_lengths


def number_pairs(outputs: Sequence[float], references: Sequence[float]) -> Pairs:
    """One predicted number per record and the right one.

    Raises:
        DataError: nothing to score, lengths that differ, or something that is no finite number.
    """
    check_lengths(outputs, references)
    for side, row in (("outputs", outputs), ("references", references)):
        for i, value in enumerate(row):
            if not isinstance(value, Real) or not math.isfinite(value):
                raise DataError(f"{side}[{i}]", repr(value), "a finite number")
    return Pairs([float(value) for value in outputs], [float(value) for value in references])


def rmse(outputs: list[float], references: list[float]) -> float:
    """Root of the mean squared error, in the unit of the numbers."""
    squares = [(out - gold) ** 2 for out, gold in zip(outputs, references, strict=True)]
    return math.sqrt(math.fsum(squares) / len(squares))


def correlations(outputs: list[float], references: list[float], names: Sequence[str]) -> Scores:
    """Pearson's and Spearman's correlation, -100 to 100, as the tables of GLUE (1804.07461) give them.

    Equal numbers share their mean rank. Where all outputs or all references are equal, both are absent,
    with a note.
    """
    from scipy.stats import pearsonr, rankdata

    sides = (("outputs", outputs), ("references", references))
    equal = [side for side, row in sides if len(set(row)) == 1]
    if equal:
        return Scores({}, (f"{', '.join(names)}: left out, all {' and all '.join(equal)} are equal",))
    rows = {
        "pearson": (_centred(outputs), _centred(references)),
        # scipy's spearmanr is this too, and divides 0 by 0 for two records
        "spearman": (rankdata(outputs), rankdata(references)),
    }
    correlation: Any = pearsonr
    return Scores({name: 100 * float(correlation(*rows[name]).statistic) for name in names})


def _centred(row: list[float]) -> list[float]:
    """The numbers minus their exact mean, which keeps small differences of large numbers."""
    mean = math.fsum(row) / len(row)
    return [value - mean for value in row]
