"""Scores of labels and of rankings of labels, by hand and against their formulas."""

import math
import random
from collections import Counter

import pytest

from softprompt import metrics
from softprompt.errors import ConfigError, DataError
from softprompt.metrics import by_class, confusion

TWO = ["no", "yes"]
LABELS = ["a", "b", "c", "d", "e", "f"]
RANKED = [list("abcde"), list("bacde"), list("fedcb"), list("cabde"), list("aecdb")]
RIGHT = ["a", "a", "a", "c", "b"]
RANKING_NAMES = ["accuracy", "top5_accuracy", "class_accuracy", "macro_f1"]


def score_labels(
    names: list[str],
    outputs: list[str],
    references: list[str],
    labels: list[str],
    groups: list[str] | None = None,
) -> metrics.Scores:
    return metrics.score(names, outputs, references, task="classification", labels=labels, groups=groups)


def score_ranked(
    names: list[str], rankings: list[list[str]], references: list[str], labels: list[str]
) -> metrics.Scores:
    return metrics.score(names, rankings, references, task="image_classification", labels=labels)


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


def _f1(outputs: list[str], references: list[str], label: str) -> float:
    """F1's formula, written out; 0 where a label is on neither side."""
    both = sum(out == gold == label for out, gold in zip(outputs, references, strict=True))
    n = outputs.count(label) + references.count(label)
    return 2 * both / n if n else 0.0


def _mcc(outputs: list[str], references: list[str]) -> float:
    """Gorodkin's formula, written out; 0 where it is undefined."""
    said, wanted, n = Counter(outputs), Counter(references), len(outputs)
    hits = sum(out == gold for out, gold in zip(outputs, references, strict=True))
    shared = sum(count * wanted[label] for label, count in said.items())
    spread = [n * n - sum(count * count for count in side.values()) for side in (said, wanted)]
    return (hits * n - shared) / math.sqrt(spread[0] * spread[1]) if all(spread) else 0.0


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_formulas(seed: int) -> None:
    draw = random.Random(seed)
    labels = list("abcdefghij")[: draw.randint(2, 10)]
    n = draw.randint(1, 40)
    gold, out = draw.choices(labels, k=n), draw.choices(labels, k=n)
    values = score_labels(["accuracy", "macro_f1", "mcc"], out, gold, labels).values
    held = [label for label in labels if label in out or label in gold]
    close = {"rel": 1e-12, "abs": 1e-11}
    assert values["accuracy"] == 100 * (sum(a == b for a, b in zip(out, gold, strict=True)) / n)
    assert values["macro_f1"] == pytest.approx(
        100 * sum(_f1(out, gold, label) for label in held) / len(held), **close
    )
    assert values["mcc"] == pytest.approx(100 * _mcc(out, gold), **close)
    for label, row in by_class(out, gold, labels).items():
        both = sum(a == b == label for a, b in zip(out, gold, strict=True))
        assert row["f1"] == pytest.approx(100 * _f1(out, gold, label), **close)
        assert row["precision"] == pytest.approx(100 * both / max(1, out.count(label)), **close)
        assert row["recall"] == pytest.approx(100 * both / max(1, gold.count(label)), **close)
        assert row["records"] == gold.count(label)
    pairs = Counter(zip(gold, out, strict=True))
    assert confusion(out, gold, labels) == [[pairs[right, said] for said in labels] for right in labels]
    if len(labels) == 2:
        f1 = score_labels(["f1"], out, gold, labels).values["f1"]
        assert f1 == pytest.approx(100 * _f1(out, gold, "b"), **close)


def test_many_labels_of_few_records_warn_of_nothing() -> None:
    labels = [f"kind {i}" for i in range(30)]
    scores = score_labels(["macro_f1", "mcc"], labels, labels, labels)
    assert scores.values == {"macro_f1": 100, "mcc": pytest.approx(100)}


def test_one_label_throughout() -> None:
    values = score_labels(["accuracy", "macro_f1", "mcc"], ["yes"] * 3, ["yes"] * 3, TWO).values
    assert values == {"accuracy": 100, "macro_f1": 100, "mcc": 0}
    assert by_class(["yes"] * 3, ["yes"] * 3, TWO)["no"] == {
        "precision": 0, "recall": 0, "f1": 0, "records": 0,
    }  # fmt: skip
    assert confusion(["yes"] * 3, ["yes"] * 3, TWO) == [[0, 0], [0, 3]]
    assert confusion([], [], TWO) == [[0, 0], [0, 0]]


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


def test_rankings_by_hand() -> None:
    found = score_ranked(RANKING_NAMES, RANKED, RIGHT, LABELS).values
    assert found["accuracy"] == 40.0  # the first and the fourth
    assert found["top5_accuracy"] == 80.0  # the third has no a among its five
    assert found["class_accuracy"] == pytest.approx(100 * (1 / 3 + 0 + 1) / 3)
    assert list(found) == RANKING_NAMES


def test_macro_f1_of_rankings_is_that_of_labels() -> None:
    first = [ranking[0] for ranking in RANKED]
    theirs = score_labels(["macro_f1"], first, RIGHT, LABELS)
    ours = score_ranked(["macro_f1"], RANKED, RIGHT, LABELS)
    assert ours == theirs and ours.notes


def test_confusion_and_classes() -> None:
    first = [ranking[0] for ranking in RANKED]
    counts = confusion(first, RIGHT, LABELS)
    assert counts[0] == [1, 1, 0, 0, 0, 1] and counts[1] == [1, 0, 0, 0, 0, 0]
    assert sum(map(sum, counts)) == 5
    classes = by_class(first, RIGHT, LABELS)
    assert classes["a"] == {"precision": 50.0, "recall": pytest.approx(100 / 3), "f1": 40.0, "records": 3}
    assert classes["d"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "records": 0}


def test_bad_rankings() -> None:
    with pytest.raises(ConfigError, match=r"metrics: got 'bleu', expected some of accuracy, top5_accuracy"):
        score_ranked(["bleu"], RANKED, RIGHT, LABELS)
    with pytest.raises(DataError, match="5 outputs and 1 references"):
        score_ranked(["accuracy"], RANKED, RIGHT[:1], LABELS)
    with pytest.raises(DataError, match=r"outputs\[0\]: got 'z', expected one of a, b, c, d, e, f"):
        score_ranked(["accuracy"], [["z"]], ["a"], LABELS)
