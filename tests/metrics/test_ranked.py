import pytest

from softprompt.errors import ConfigError, DataError
from softprompt.metrics import score_labels, score_ranked
from softprompt.metrics.ranked import by_class, confusion

LABELS = ["a", "b", "c", "d", "e", "f"]
RANKED = [list("abcde"), list("bacde"), list("fedcb"), list("cabde"), list("aecdb")]
RIGHT = ["a", "a", "a", "c", "b"]
NAMES = ["accuracy", "top5_accuracy", "class_accuracy", "macro_f1"]


def test_by_hand():
    found = score_ranked(NAMES, RANKED, RIGHT, LABELS).values
    assert found["accuracy"] == 40.0  # the first and the fourth
    assert found["top5_accuracy"] == 80.0  # the third has no a among its five
    assert found["class_accuracy"] == pytest.approx(100 * (1 / 3 + 0 + 1) / 3)
    assert list(found) == NAMES


def test_macro_f1_is_that_of_labels():
    first = [ranking[0] for ranking in RANKED]
    theirs = score_labels(["macro_f1"], first, RIGHT, LABELS)
    ours = score_ranked(["macro_f1"], RANKED, RIGHT, LABELS)
    assert ours == theirs and ours.notes


def test_confusion_and_classes():
    first = [ranking[0] for ranking in RANKED]
    counts = confusion(first, RIGHT, LABELS)
    assert counts[0] == [1, 1, 0, 0, 0, 1] and counts[1] == [1, 0, 0, 0, 0, 0]
    assert sum(map(sum, counts)) == 5
    classes = by_class(first, RIGHT, LABELS)
    assert classes["a"] == {"precision": 50.0, "recall": pytest.approx(100 / 3), "f1": 40.0, "records": 3}
    assert classes["d"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "records": 0}


def test_refusals():
    with pytest.raises(ConfigError, match=r"metrics: got 'bleu', expected some of accuracy, top5_accuracy"):
        score_ranked(["bleu"], RANKED, RIGHT, LABELS)
    with pytest.raises(DataError, match="5 outputs and 1 references"):
        score_ranked(["accuracy"], RANKED, RIGHT[:1], LABELS)
    with pytest.raises(DataError, match=r"outputs\[0\]: got 'z', expected one of a, b, c, d, e, f"):
        score_ranked(["accuracy"], [["z"]], ["a"], LABELS)
