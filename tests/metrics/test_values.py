"""Scores of numbers, by hand and against scipy."""

import importlib
import math
import random
from typing import Any

import numpy
import pytest

from softprompt.errors import ConfigError, DataError
from softprompt.metrics import HIGHER_IS_BETTER, score_values

NAMES = ["pearson", "spearman", "rmse"]


def test_by_hand() -> None:
    values = score_values(NAMES, [1, 2, 3, 10], [1.0, 2.0, 3.0, 4.0]).values
    assert list(values) == NAMES
    # deviations -3 -2 -1 6 and -1.5 -.5 .5 1.5: 14 over the root of 50 * 5
    assert values["pearson"] == pytest.approx(100 * 14 / math.sqrt(250))
    assert values["spearman"] == pytest.approx(100)
    assert values["rmse"] == pytest.approx(3)
    assert not HIGHER_IS_BETTER["rmse"] and HIGHER_IS_BETTER["pearson"]


@pytest.mark.parametrize("seed", range(5))
def test_equals_scipy_with_ties(seed: int) -> None:
    stats: Any = importlib.import_module("scipy.stats")

    draw = random.Random(seed)
    gold = [draw.randint(0, 5) for _ in range(40)]
    out = [value + draw.randint(-3, 3) for value in gold]
    values = score_values(["spearman", "pearson"], out, gold).values
    assert values["pearson"] == pytest.approx(100 * stats.pearsonr(out, gold).statistic)
    assert values["spearman"] == pytest.approx(100 * stats.spearmanr(out, gold).statistic)


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
