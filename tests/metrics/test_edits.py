"""TER against edits counted by hand, and against sacrebleu's own corpus score."""

import random

import pytest

from softprompt.metrics import edits


def _ter(hypotheses: list[str], references: list[list[str]]) -> float:
    return edits.score(["ter"], hypotheses, references)[0]["ter"]


@pytest.mark.parametrize(
    ("hypothesis", "n_edits"),
    [
        ("a b c d e", 0),
        ("a b x d e", 1),
        ("a b c d", 1),
        ("a b c d e f", 1),
        ("d e a b c", 1),  # one shift of a block
        ("", 5),
    ],
)
def test_edits_by_hand(hypothesis: str, n_edits: int) -> None:
    assert _ter([hypothesis], [["a b c d e"]]) == pytest.approx(100 * n_edits / 5)


def test_fewest_edits_over_the_mean_length() -> None:
    assert _ter(["a b c"], [["a b c d", "x y"]]) == pytest.approx(100 * 1 / 3)


def test_edits_and_words_add_up_over_the_set() -> None:
    assert _ter(["a b", "c d"], [["a x"], ["c d e f g h"]]) == pytest.approx(100 * 5 / 8)


def test_case_and_glued_punctuation_are_no_edits() -> None:
    assert _ter(["The café, low-cost."], [["the Café , low - cost ."]]) == 0


def test_may_pass_one_hundred() -> None:
    assert _ter(["a b c d"], [["x"]]) == 400


def test_equals_sacrebleu() -> None:
    from sacrebleu.metrics.ter import TER

    draw = random.Random(3)
    texts = [[" ".join(draw.choices("abcdefgh", k=draw.randint(1, 14))) for _ in range(4)] for _ in range(40)]
    hypotheses, references = [row[0] for row in texts], [row[1:] for row in texts]
    streams = [list(stream) for stream in zip(*references, strict=True)]
    assert _ter(hypotheses, references) == pytest.approx(TER().corpus_score(hypotheses, streams).score)
