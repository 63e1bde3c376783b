"""Scores of numbers, by hand and against their formulas."""

import math
import random

import numpy
import pytest

from softprompt import metrics
from softprompt.errors import ConfigError, DataError

NAMES = ["pearson", "spearman", "rmse"]


def score_values(names: list[str], outputs: list[float], references: list[float]) -> metrics.Scores:
    return metrics.score(names, outputs, references, task="regression")


def test_by_hand() -> None:
    values = score_values(NAMES, [1, 2, 3, 10], [1.0, 2.0, 3.0, 4.0]).values
    assert list(values) == NAMES
    # deviations -3 -2 -1 6 and -1.5 -.5 .5 1.5: 14 over the root of 50 * 5
    assert values["pearson"] == pytest.approx(100 * 14 / math.sqrt(250))
    assert values["spearman"] == pytest.approx(100)
    assert values["rmse"] == pytest.approx(3)
    assert not metrics.higher_is_better("rmse") and metrics.higher_is_better("pearson")


def _correlation(a: list[float], b: list[float]) -> float:
    """Pearson's formula, written out."""
    mean_a, mean_b = math.fsum(a) / len(a), math.fsum(b) / len(b)
    da, db = [x - mean_a for x in a], [y - mean_b for y in b]
    both = math.fsum(x * y for x, y in zip(da, db, strict=True))
    return both / math.sqrt(math.fsum(x * x for x in da) * math.fsum(y * y for y in db))


def _ranks(values: list[float]) -> list[float]:
    """One more than how many are smaller, and half a place for each equal one beside it."""
    return [1 + sum(other < value for other in values) + (values.count(value) - 1) / 2 for value in values]


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_formulas_with_and_without_ties(seed: int) -> None:
    draw = random.Random(seed)
    n = draw.randint(2, 40)
    gold = [float(draw.randint(0, 5)) for _ in range(n - 1)] + [6.0]
    out = [value + draw.choice([draw.randint(-3, 3), draw.gauss(0, 1)]) for value in gold[:-1]] + [-9.0]
    values = score_values(["spearman", "pearson"], out, gold).values
    assert values["pearson"] == pytest.approx(100 * _correlation(out, gold), rel=1e-12, abs=1e-11)
    ranked = 100 * _correlation(_ranks(out), _ranks(gold))
    assert values["spearman"] == pytest.approx(ranked, rel=1e-12, abs=1e-11)


def test_equal_numbers_share_their_mean_rank_by_hand() -> None:
    # ranks 1.5 1.5 3 and 1 2 3: deviations -.5 -.5 1 and -1 0 1, 1.5 over the root of 1.5 * 2
    value = score_values(["spearman"], [5, 5, 7], [1, 2, 3]).values["spearman"]
    assert value == pytest.approx(100 * 1.5 / math.sqrt(3))


def test_small_differences_of_large_numbers() -> None:
    outputs, references = [1e9, 1e9 + 2**-10, 1e9 + 2**-9, 1e9], [0.0, 1.0, 2.0, 1.0]
    # deviations -3 1 5 -3 and -1 0 1 0: 8 over the root of 44 * 2
    value = score_values(["pearson"], outputs, references).values["pearson"]
    assert value == pytest.approx(100 * 8 / math.sqrt(88), rel=1e-6)


def test_two_records() -> None:
    assert score_values(["pearson", "spearman"], [1, 2], [5, 3]).values == {"pearson": -100, "spearman": -100}


def test_opposite_and_tiny_differences() -> None:
    assert score_values(["pearson"], [1, 2, 3], [3, 2, 1]).values["pearson"] == pytest.approx(-100)
    assert score_values(["pearson"], [0.0, 1e-200], [0.0, 1.0]).values["pearson"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("outputs", "references", "said"),
    [
        ([2, 2], [1, 3], "all outputs are equal"),
        ([1, 3], [2, 2], "all references are equal"),
        ([2], [3], "all outputs and all references are equal"),
    ],
)
def test_correlations_that_are_undefined(outputs: list[float], references: list[float], said: str) -> None:
    scores = score_values(NAMES, outputs, references)
    assert scores.values == {"rmse": pytest.approx(1)}
    assert scores.notes == (f"pearson, spearman: left out, {said}",)
    assert score_values(["rmse"], outputs, references).notes == ()


def test_numbers_of_numpy() -> None:
    outputs = [float(value) for value in (1, 2, 4)]
    row = list(numpy.asarray(outputs, dtype=numpy.float32))
    assert score_values(NAMES, row, [1, 3, 4]).values == pytest.approx(
        score_values(NAMES, outputs, [1, 3, 4]).values
    )


def test_bad_input() -> None:
    with pytest.raises(DataError, match=r"outputs\[1\]: got nan, expected a finite number"):
        score_values(NAMES, [1.0, math.nan], [1.0, 2.0])
    with pytest.raises(DataError, match=r"references\[0\]: got '1', expected a finite number"):
        score_values(NAMES, [1.0], ["1"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="got 1 outputs and 2 references"):
        score_values(NAMES, [1.0], [1.0, 2.0])
    with pytest.raises(DataError, match="got no outputs"):
        score_values(NAMES, [], [])
    with pytest.raises(
        ConfigError, match=r"metrics: got 'accuracy', expected .*\. Use it for classification, choice"
    ):
        score_values(["accuracy"], [1.0], [1.0])
