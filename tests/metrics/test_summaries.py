"""ROUGE against overlaps counted by hand."""

import pytest

from softprompt.metrics import summaries


def _rouge(hypotheses: list[str], references: list[list[str]]) -> dict[str, float]:
    return summaries.score(["rouge1", "rouge2", "rougeL"], hypotheses, references)[0]


def _f(matches: int, n_hypothesis: int, n_reference: int) -> float:
    precision, recall = matches / n_hypothesis, matches / n_reference
    return 100 * 2 * precision * recall / (precision + recall)


def test_by_hand() -> None:
    values = _rouge(["b a c d"], [["a b c d e"]])
    assert values["rouge1"] == pytest.approx(_f(4, 4, 5))
    assert values["rouge2"] == pytest.approx(_f(1, 3, 4))
    assert values["rougeL"] == pytest.approx(_f(3, 4, 5))


def test_stems_match() -> None:
    assert _rouge(["running dogs"], [["Run dog"]])["rouge1"] == pytest.approx(100)


def test_best_reference_of_each_example_then_the_mean() -> None:
    values = _rouge(["alpha beta", "gamma"], [["delta", "alpha beta"], ["epsilon"]])
    assert values["rouge1"] == pytest.approx(50)


def test_only_the_names_asked_for() -> None:
    assert list(summaries.score(["rouge2"], ["a b"], [["a b"]])[0]) == ["rouge2"]
