"""Scores of predicted numbers."""

import math
from collections.abc import Sequence
from numbers import Real

from softprompt.errors import DataError
from softprompt.metrics.scores import Scores, check_lengths, check_names


def score_values(names: Sequence[str], outputs: Sequence[float], references: Sequence[float]) -> Scores:
    """Correlations and error of one predicted number per record.

    Source: GLUE (1804.07461) for Pearson's and Spearman's correlation, times 100 as its tables give
    them; equal numbers share their mean rank.

    Args:
        names: Metrics of the task `regression`.
        outputs: The predicted numbers.
        references: The right numbers.

    Returns:
        -100 to 100 for the correlations, absent with a note where all outputs or all references are
        equal; `rmse` in the unit of the numbers, lower is better.

    Raises:
        ConfigError: an unknown metric.
        DataError: nothing to score, lengths that differ, or something that is no finite number.
    """
    check_names(names, "regression")
    check_lengths(outputs, references)
    for side, row in (("outputs", outputs), ("references", references)):
        for i, value in enumerate(row):
            if not isinstance(value, Real) or not math.isfinite(value):
                raise DataError(f"{side}[{i}]", repr(value), "a finite number")
    found: dict[str, float] = {}
    if "rmse" in names:
        squares = [(out - gold) ** 2 for out, gold in zip(outputs, references, strict=True)]
        found["rmse"] = math.sqrt(math.fsum(squares) / len(squares))
    wanted = [name for name in names if name != "rmse"]
    equal = [side for side, row in (("outputs", outputs), ("references", references)) if len(set(row)) == 1]
    if wanted and equal:
        notes = (f"{', '.join(wanted)}: left out, all {' and all '.join(equal)} are equal",)
        return Scores(found, notes)
    if "pearson" in names:
        found["pearson"] = 100 * _correlation(outputs, references)
    if "spearman" in names:
        found["spearman"] = 100 * _correlation(_ranks(outputs), _ranks(references))
    return Scores({name: found[name] for name in names})


def _correlation(a: Sequence[float], b: Sequence[float]) -> float:
    mean_a, mean_b = math.fsum(a) / len(a), math.fsum(b) / len(b)
    da, db = [x - mean_a for x in a], [y - mean_b for y in b]
    # over the largest, so that squares of tiny differences do not vanish
    largest_a, largest_b = max(map(abs, da)), max(map(abs, db))
    da, db = [x / largest_a for x in da], [y / largest_b for y in db]
    both = math.fsum(x * y for x, y in zip(da, db, strict=True))
    return both / math.sqrt(math.fsum(x * x for x in da) * math.fsum(y * y for y in db))


def _ranks(values: Sequence[float]) -> list[float]:
    """Places from 1 in ascending order; equal numbers share the mean of theirs."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    ranks = [0.0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for i in order[first : last + 1]:
            ranks[i] = (first + last) / 2 + 1
        first = last + 1
    return ranks
