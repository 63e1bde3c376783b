"""BLEU and NIST against figures worked out by hand, and against independent code."""

import math

import pytest

from softprompt.metrics import mteval


def _score(hypotheses: list[str], references: list[list[str]]) -> dict[str, float]:
    return mteval.score(["bleu", "nist"], hypotheses, references)[0]


def test_bleu_by_hand() -> None:
    # precisions 5/6, 3/5, 2/4, 1/3; as long as the closest reference
    value = _score(["the cat sat on the mat"], [["the cat sat on a mat", "it sat"]])["bleu"]
    assert value == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


def test_bleu_is_short_of_the_closest_reference() -> None:
    # 4 tokens all right, the closest reference has 5
    value = _score(["a b c d"], [["a b c d e", "a b c d e f g h"]])["bleu"]
    assert value == pytest.approx(100 * math.exp(1 - 5 / 4))


def test_bleu_smooths_orders_without_a_match() -> None:
    # mteval halves once more for every order without a match: 4/5, 2/4, 1/(2*3), 1/(4*2)
    value = _score(["a b x c d"], [["a b y c d"]])["bleu"]
    assert value == pytest.approx(100 * (4 / 5 * 2 / 4 * 1 / 6 * 1 / 8) ** 0.25)


def test_case_counts_for_letters_beyond_ascii_only() -> None:
    assert _score(["THE BIG Café IS open"], [["the big Café is OPEN"]])["bleu"] == pytest.approx(100)
    assert _score(["the big É is open"], [["the big é is open"]])["bleu"] < 60


def test_tokens_are_those_of_mteval() -> None:
    hypothesis, reference = "It costs 1,000.5 -- (yes), Bob's.", "it costs 1,000.5 -- ( yes ) , bob's ."
    assert _score([hypothesis], [[reference]])["bleu"] == pytest.approx(100)


def test_nist_by_hand() -> None:
    # references hold a:2 b:1 c:1 of 4 tokens, so a gives 1 bit and b 2; "a b" follows one a of two: 1 bit
    value = _score(["a b"], [["a b a c"]])["nist"]
    penalty = math.exp(math.log(0.5) * (math.log(0.5) / math.log(1.5)) ** 2)
    assert value == pytest.approx(((1 + 2) / 2 + 1 / 1) * penalty)


def test_nist_takes_counts_from_all_references_together() -> None:
    # either word is in one reference only; each is 1 of 4 tokens, so 2 bits, and no pair matches
    value = _score(["a c"], [["a b", "c d"]])["nist"]
    assert value == pytest.approx((2 + 2) / 2)


def test_nist_length_penalty_uses_the_mean_number_of_references() -> None:
    # 8 reference tokens, 3 references for 2 texts: 8 / 1.5 expected tokens against 4
    value = _score(["a b", "e f"], [["a b c d", "g h"], ["e f"]])["nist"]
    penalty = math.exp(math.log(0.5) * (math.log(4 * 1.5 / 8) / math.log(1.5)) ** 2)
    assert value == pytest.approx(4 * 3 / 4 * penalty)


def test_nist_of_nothing() -> None:
    assert _score([""], [["a b"]]) == {"bleu": 0.0, "nist": 0.0}
