"""BLEU, NIST, TER and ROUGE against figures worked out by hand, and TER against sacrebleu's own."""

import math
import random

import pytest

from softprompt.metrics import text


def _score(hypotheses: list[str], references: list[list[str]]) -> dict[str, float]:
    return {"bleu": text.bleu(hypotheses, references), "nist": text.nist(hypotheses, references)}


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
    assert text.ter([hypothesis], [["a b c d e"]]) == pytest.approx(100 * n_edits / 5)


def test_fewest_edits_over_the_mean_length() -> None:
    assert text.ter(["a b c"], [["a b c d", "x y"]]) == pytest.approx(100 * 1 / 3)


def test_edits_and_words_add_up_over_the_set() -> None:
    assert text.ter(["a b", "c d"], [["a x"], ["c d e f g h"]]) == pytest.approx(100 * 5 / 8)


def test_case_and_glued_punctuation_are_no_edits() -> None:
    assert text.ter(["The café, low-cost."], [["the Café , low - cost ."]]) == 0


def test_may_pass_one_hundred() -> None:
    assert text.ter(["a b c d"], [["x"]]) == 400


def test_equals_sacrebleu() -> None:
    from sacrebleu.metrics.ter import TER

    draw = random.Random(3)
    texts = [[" ".join(draw.choices("abcdefgh", k=draw.randint(1, 14))) for _ in range(4)] for _ in range(40)]
    hypotheses, references = [row[0] for row in texts], [row[1:] for row in texts]
    streams = [list(stream) for stream in zip(*references, strict=True)]
    assert text.ter(hypotheses, references) == pytest.approx(TER().corpus_score(hypotheses, streams).score)


def _rouge(hypotheses: list[str], references: list[list[str]]) -> dict[str, float]:
    return text.rouge(hypotheses, references, ["rouge1", "rouge2", "rougeL"]).values


def _f(matches: int, n_hypothesis: int, n_reference: int) -> float:
    precision, recall = matches / n_hypothesis, matches / n_reference
    return 100 * 2 * precision * recall / (precision + recall)


def test_rouge_by_hand() -> None:
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
    assert list(text.rouge(["a b"], [["a b"]], ["rouge2"]).values) == ["rouge2"]
