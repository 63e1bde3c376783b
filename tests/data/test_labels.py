from collections import Counter

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight

from softprompt.config import ClassificationSettings, ClozeSettings, parse_run
from softprompt.data import LabelledText, check_known, check_spellings, in_order, load
from softprompt.data.labels import one_spelling
from softprompt.errors import ConfigError, DataError
from softprompt.training.setup.before_loading import RunData
from softprompt.training.setup.components import with_class_weights


def texts(*labels):
    return [LabelledText(f"t:{n}", f"text {n}", label) for n, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (["1.0", "0.0", "1"], ["0"], [["1", "0", "1"], ["0"]]),
        (["1.0", "0.0"], ["1", "0"], [["1.0", "0.0"], ["1.0", "0.0"]]),
        (["1", "0"], ["1.0", "2.0"], [["1", "0"], ["1", "2.0"]]),
        (["1", "01", "x"], ["1.0"], [["1", "01", "x"], ["1.0"]]),
        (["1.5", "2", "2.0"], ["2"], [["1.5", "2", "2.0"], ["2"]]),
    ],
)
def test_one_number_is_one_label(train, test, expected):
    made = one_spelling(texts(*train), [texts(*test)])
    assert [[record.label for record in records] for records in made] == expected


def test_order():
    assert in_order({"10", "9", "-1", "1.5"}) == ["-1", "1.5", "9", "10"]
    assert in_order({"10", "9", "b", "a"}) == ["10", "9", "a", "b"]
    assert in_order({"nan", "1"}) == ["1", "nan"]


@pytest.mark.parametrize(
    ("labels", "pair"),
    [
        (["Good", "good", "bad"], "'Good' and 'good'"),
        (["正面", "正面\u200b"], r"'正面' and '正面\\u200b'"),
        (["\uff21", "A"], "'A' and '\uff21'"),
    ],
)
def test_labels_that_look_alike_are_refused(labels, pair):
    with pytest.raises(ConfigError, match=f"labels that look alike: {pair}.*list all labels in task.labels"):
        check_spellings(labels)
    check_spellings(["good", "bad", "go od"])


def test_unknown_labels_are_named_at_once():
    with pytest.raises(DataError) as caught:
        check_known(["a", "b"], dev=texts("a", "c", "c"), test=texts("d", None))
    dev, test = str(caught.value).split("\n")
    assert dev.startswith("data.dev: got labels that the task does not have: 'c' (2), first in record t:1")
    assert test.startswith("data.test: got labels that the task does not have: 'd' (1)")


def test_labels_of_yaml():
    assert ClassificationSettings(labels=[0, 1.5, "x"]).labels == ["0", "1.5", "x"]  # type: ignore[list-item]
    for make in (
        lambda: ClassificationSettings(labels=[True, False]),  # type: ignore[list-item]
        lambda: ClozeSettings(verbalizer={True: "good", False: "bad"}),  # type: ignore[dict-item]
    ):
        with pytest.raises(ValidationError, match=r'Quote it, e\.g\. "yes"'):
            make()


@pytest.mark.parametrize(("n_rare", "share"), [(3, 0.1), (1, 0.1), (30, 0.3), (2, 0.01)])
def test_shares_hold_every_label(tmp_path, n_rare, share):
    rows = [f"text {n},often" for n in range(97)] + [f"other {n},rare" for n in range(n_rare)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows, ""]))
    data = {"train": str(tmp_path / "t.csv"), "dev_share": share}
    splits = load(
        parse_run({"task": {"name": "classification"}, "data": data, "training": {"steps": 1}}).data
    )
    assert len(splits.dev) == max(int(share * len(rows) + 0.5), 1)
    counts = Counter(record.targets[0] for record in splits.dev)
    assert Counter(record.targets[0] for record in splits.train)["rare"] >= 1
    if n_rare > 1 and len(splits.dev) > 1:
        assert counts["rare"] == max(1, round(n_rare * len(splits.dev) / len(rows)))
    assert any("'rare'" in note for note in splits.notes) == (n_rare == 1)
    assert not {record.source for record in splits.dev} & {record.source for record in splits.train}


def test_balanced_weights_are_those_of_scikit_learn(tmp_path):
    labels = ["a"] * 5 + ["b"] * 2 + ["c"]
    rows = [f"text {n},{label}" for n, label in enumerate(labels)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows, ""]))
    task = {"name": "classification", "class_weights": "balanced"}
    settings = parse_run({"task": task, "data": {"train": str(tmp_path / "t.csv")}, "training": {"steps": 1}})
    made = with_class_weights(settings, RunData(load(settings.data), ["a", "b", "c"]))
    wanted = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=labels)
    assert list(made.task.class_weights.values()) == pytest.approx(list(wanted))  # type: ignore[attr-defined]
    assert sum(made.task.class_weights[label] for label in labels) == pytest.approx(len(labels))  # type: ignore[attr-defined]


def test_weights_enter_the_loss():
    from softprompt.tasks.headed.classification import ClassificationTask
    from softprompt.tasks.headed.reading_task import ReadingExample

    task = ClassificationTask.__new__(ClassificationTask)
    task.labels = ("a", "b")
    outputs = torch.tensor([[0.3, -0.2], [0.1, 0.9]])
    examples = [ReadingExample("x", (), (label,)) for label in (0, 1)]
    losses = -outputs.log_softmax(-1)
    task.settings = ClassificationSettings(class_weights={"b": 3.0, "a": 0.5})
    assert torch.allclose(task.head_loss(outputs, examples), 0.5 * losses[0, 0] + 3 * losses[1, 1])
    task.settings = ClassificationSettings(class_weights={"b": 3.0, "c": 0.5})
    with pytest.raises(ConfigError, match=r"task\.class_weights: got weights for \['b', 'c'\]"):
        task.head_loss(outputs, examples)
