"""Exact match and F1 of answers, worked by hand after SQuAD's definitions."""

import pytest

from softprompt import metrics
from softprompt.errors import ConfigError, DataError

NAMES = ["exact_match", "answer_f1"]


def score_answers(names: list[str], outputs: list[str], references: list[list[str]]) -> metrics.Scores:
    return metrics.score(names, outputs, references, task="spans")


def score(output: str, *references: str) -> tuple[float, float]:
    values = score_answers(NAMES, [output], [list(references)]).values
    return values["exact_match"], values["answer_f1"]


@pytest.mark.parametrize(
    ("output", "reference"),
    [
        ("The Cat!", "cat"),
        ("a  cat\n", "an cat"),
        ("U.S.A.", "usa"),
        ("the-cat", "thecat"),  # punctuation goes before articles, so this the stays
        ("theatre", "theatre"),
    ],
)
def test_texts_that_are_the_same(output: str, reference: str) -> None:
    assert score(output, reference) == (100, 100)


@pytest.mark.parametrize(
    ("output", "references", "f1"),
    [
        ("big black cat", ["the black cat"], 2 * 2 / 5),
        ("cat cat cat", ["cat dog"], 2 * 1 / 5),  # a word counts as often as both have it
        ("cat cat", ["cat cat dog"], 2 * 2 / 5),
        ("dog", ["cat"], 0),
        ("black dog", ["cat", "dog", "a big dog"], 2 * 1 / 3),  # the best reference, not all together
        ("", ["cat"], 0),
        ("the", ["cat"], 0),
        ("thé", ["the cat"], 0),  # only ASCII articles go
        ("“cat”", ["cat"], 0),  # only ASCII punctuation goes
    ],
)
def test_overlap(output: str, references: list[str], f1: float) -> None:
    assert score(output, *references) == (0, pytest.approx(100 * f1))


@pytest.mark.parametrize("references", [[], [""], ["", " "], ["the", "?"]])
def test_questions_without_an_answer(references: list[str]) -> None:
    assert score("", *references) == (100, 100)
    assert score("a", *references) == (100, 100)
    assert score("cat", *references) == (0, 0)


def test_references_without_words_are_passed_over() -> None:
    assert score("", "the", "cat") == (0, 0)


def test_mean_over_questions_in_the_order_asked_for() -> None:
    scores = score_answers(["answer_f1", "exact_match"], ["cat", "dog", ""], [["cat"], ["big dog"], []])
    assert list(scores.values.items()) == [
        ("answer_f1", pytest.approx(100 * (1 + 2 / 3 + 1) / 3)),
        ("exact_match", pytest.approx(200 / 3)),
    ]


def test_bad_input() -> None:
    with pytest.raises(DataError, match=r"references\[1\]: got a single text, expected a list of texts"):
        score_answers(NAMES, ["a", "b"], [["a"], "b"])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"outputs\[1\]: got nothing, expected a text"):
        score_answers(NAMES, ["a", None], [["a"], ["b"]])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"references\[0\]: got a number, expected a text"):
        score_answers(NAMES, ["a"], [["a", 3]])  # type: ignore[list-item]
    with pytest.raises(DataError, match="got 1 outputs and 2 references"):
        score_answers(NAMES, ["a"], [["a"], ["b"]])
    with pytest.raises(DataError, match="got no outputs"):
        score_answers(NAMES, [], [])
    with pytest.raises(
        ConfigError,
        match=r"metrics: got 'f1', expected some of answer_f1, exact_match\. Use it for "
        r"classification",
    ):
        score_answers(["f1"], ["a"], [["a"]])
