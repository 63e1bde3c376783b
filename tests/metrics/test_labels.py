"""Scores of labels, counted by hand and against scikit-learn."""

import random

import pytest

from softprompt.errors import ConfigError, DataError
from softprompt.metrics import score_labels

TWO = ["no", "yes"]


def test_two_labels_by_hand() -> None:
    outputs = ["yes", "yes", "no", "no", "yes"]
    references = ["yes", "no", "no", "yes", "yes"]
    scores = score_labels(["f1", "accuracy", "macro_f1", "mcc"], outputs, references, TWO)
    assert list(scores.values) == ["f1", "accuracy", "macro_f1", "mcc"]
    # yes: 2 of 3 said, 2 of 3 found; no: 1 of 2 and 1 of 2
    assert scores.values["accuracy"] == pytest.approx(60)
    assert scores.values["f1"] == pytest.approx(100 * 2 / 3)
    assert scores.values["macro_f1"] == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    assert scores.values["mcc"] == pytest.approx(100 * (2 * 1 - 1 * 1) / (3 * 3 * 2 * 2) ** 0.5)
    assert scores.notes == ()


def test_f1_is_that_of_the_second_label() -> None:
    outputs, references = ["yes", "no"], ["yes", "yes"]
    assert score_labels(["f1"], outputs, references, ["no", "yes"]).values["f1"] == pytest.approx(200 / 3)
    assert score_labels(["f1"], outputs, references, ["yes", "no"]).values["f1"] == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_labels", [2, 4])
def test_equals_scikit_learn(seed: int, n_labels: int) -> None:
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    draw = random.Random(seed)
    labels = list("abcd")[:n_labels]
    gold, out = draw.choices(labels, k=30), draw.choices(labels, k=30)
    values = score_labels(["accuracy", "macro_f1", "mcc"], out, gold, labels).values
    assert values["accuracy"] == pytest.approx(100 * accuracy_score(gold, out))
    assert values["macro_f1"] == pytest.approx(100 * f1_score(gold, out, average="macro"))
    assert values["mcc"] == pytest.approx(100 * matthews_corrcoef(gold, out))
    if n_labels == 2:
        f1 = score_labels(["f1"], out, gold, labels).values["f1"]
        assert f1 == pytest.approx(100 * f1_score(gold, out, pos_label="b"))


def test_constant_outputs() -> None:
    values = score_labels(["accuracy", "f1", "mcc"], ["no", "no"], ["no", "yes"], TWO).values
    assert values == {"accuracy": 50, "f1": 0, "mcc": 0}
    assert score_labels(["f1", "mcc"], ["no"], ["no"], TWO).values == {"f1": 0, "mcc": 0}


def test_labels_on_neither_side_do_not_count() -> None:
    scores = score_labels(["macro_f1"], ["a", "b"], ["a", "b"], ["a", "b", "c"])
    assert scores.values == {"macro_f1": 100}
    assert scores.notes == ("macro_f1: over 2 of 3 labels, the others are on neither side",)
    # a label that is only said is a miss
    assert score_labels(["macro_f1"], ["a", "c"], ["a", "a"], ["a", "b", "c"]).values[
        "macro_f1"
    ] == pytest.approx(100 * (2 / 3) / 2)


def test_questions_are_right_when_all_their_answers_are() -> None:
    outputs, references = ["yes", "no", "no", "yes", "no"], ["yes", "yes", "no", "yes", "no"]
    groups = ["1/1", "1/1", "1/2", "1/3", "1/2"]
    values = score_labels(["question_em", "accuracy"], outputs, references, TWO, groups).values
    assert values == {"question_em": pytest.approx(200 / 3), "accuracy": pytest.approx(80)}


def test_choices_are_labels_too() -> None:
    assert score_labels(["accuracy"], ["0", "1", "1"], ["0", "0", "1"], ["0", "1"]).values["accuracy"] == (
        pytest.approx(200 / 3)
    )


def test_metrics_that_do_not_fit() -> None:
    with pytest.raises(
        ConfigError, match=r"metrics: got 'f1' for 3 labels, expected two labels, .*. Choose macro_f1"
    ):
        score_labels(["f1"], ["a"], ["a"], ["a", "b", "c"])
    with pytest.raises(
        ConfigError, match=r"metrics: got 'question_em' for records that belong to no question"
    ):
        score_labels(["question_em"], ["no"], ["no"], TWO)
    with pytest.raises(
        ConfigError, match=r"metrics: got 'bleu', expected .*question_em\. Use it for generation\."
    ):
        score_labels(["bleu"], ["no"], ["no"], TWO)
    with pytest.raises(ConfigError, match=r"metrics: got 'acuracy', expected .*\. Did you mean 'accuracy'\?"):
        score_labels(["acuracy"], ["no"], ["no"], TWO)


def test_bad_input() -> None:
    with pytest.raises(
        DataError, match=r"outputs\[1\]: got 'yess', expected one of no, yes\. Did you mean 'yes'\?"
    ):
        score_labels(["accuracy"], ["no", "yess"], ["no", "yes"], TWO)
    with pytest.raises(DataError, match=r"references\[0\]: got 'maybe', expected one of no, yes"):
        score_labels(["accuracy"], ["no"], ["maybe"], TWO)
    with pytest.raises(DataError, match="metrics: got 2 outputs and 1 references"):
        score_labels(["accuracy"], ["no", "no"], ["no"], TWO)
    with pytest.raises(DataError, match="metrics: got no outputs, expected at least one output"):
        score_labels(["accuracy"], [], [], TWO)
    with pytest.raises(DataError, match="metrics: got 1 outputs and 2 groups"):
        score_labels(["question_em"], ["no"], ["no"], TWO, ["1", "2"])
