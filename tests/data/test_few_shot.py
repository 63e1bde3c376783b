"""K records per class, and folds: what is drawn, what stays apart, and what is refused."""

from collections import Counter
from pathlib import Path

import pytest

from softprompt.config import DataSettings
from softprompt.data import LabelledText, Record, Splits, load
from softprompt.data.sampling import draw_per_class, folds
from softprompt.data.splits import load_test
from softprompt.errors import ConfigError, DataError


def labelled(counts: dict[str, int], start: int = 0) -> list[LabelledText]:
    """Records of each label, all of one before the next, as files sorted by label have them."""
    labels = [label for label, n in counts.items() for _ in range(n)]
    return [LabelledText(str(i), f"text {i}", label) for i, label in enumerate(labels, start)]


@pytest.fixture
def files(write, tmp_path, monkeypatch):
    """train.csv (60 records sorted by label), dev.csv (8) and test.csv (6)."""
    for name, counts, start in (
        ("train", {"a": 20, "b": 30, "c": 10}, 0),
        ("dev", {"a": 3, "b": 5}, 100),
        ("test", {"a": 4, "b": 2}, 200),
    ):
        rows = [f"{record.text},{record.label}\n" for record in labelled(counts, start)]
        write(f"{name}.csv", f"text,label\n{''.join(rows)}")
    monkeypatch.setenv("SOFTPROMPT_DATA", str(tmp_path))


def loaded(**settings) -> Splits:
    return load(DataSettings.model_validate({"format": "labelled_csv", "train": "train.csv"} | settings))


def labels(records) -> dict[str, int]:
    return dict(Counter(record.label for record in records))


def texts(records) -> list[str]:
    return [record.source for record in records]


# -- per class ---------------------------------------------------------------------------------------


def test_k_of_each_class_in_file_order_and_nested():
    records = labelled({"a": 20, "b": 30, "c": 10})
    small, large = draw_per_class(records, 4, 3), draw_per_class(records, 9, 3)
    assert labels(small) == {"a": 4, "b": 4, "c": 4} and labels(large) == {"a": 9, "b": 9, "c": 9}
    assert [int(record.id) for record in large] == sorted(int(record.id) for record in large)
    assert {record.id for record in small} < {record.id for record in large}
    assert draw_per_class(records, 4, 3) == small != draw_per_class(records, 4, 4)


def test_the_draw_per_class_is_the_same_everywhere():
    # Frozen: SHA-256 of "draw SEED PLACE" decides, so no platform or version may change these.
    drawn = draw_per_class(labelled({"a": 10, "b": 10}), 3, 0)
    assert [record.id for record in drawn] == ["0", "2", "4", "11", "12", "18"]


def test_the_draw_per_class_is_even():
    records, counts = labelled({"a": 5, "b": 5}), Counter()
    for seed in range(500):
        counts.update(record.id for record in draw_per_class(records, 2, seed))
    assert all(150 < count < 250 for count in counts.values()), counts


def test_a_class_that_is_too_small_is_named():
    records = labelled({"a": 20, "few": 3})
    with pytest.raises(DataError) as caught:
        draw_per_class(records, 16, 0, "data.train_per_class")
    assert str(caught.value) == (
        "data.train_per_class: got 16 of each class, expected at most 3, the records of "
        "class 'few'. Ask for fewer."
    )
    with pytest.raises(DataError, match="at most 1, the records of class 'few' beside those trained on"):
        draw_per_class(records, 2, 0, "data.dev_per_class", without=records[-2:])


def test_a_record_without_a_label_is_named():
    with pytest.raises(DataError, match=r"x:1: got no label, expected labelled records to draw by class"):
        draw_per_class([*labelled({"a": 2}), LabelledText("x:1", "text")], 1, 0)


def test_training_and_development_per_class_from_one_file(files):
    splits = loaded(train_per_class=4, dev_per_class=5, subsample=2)
    assert labels(splits.train) == {"a": 4, "b": 4, "c": 4}
    assert labels(splits.dev) == {"a": 5, "b": 5, "c": 5}
    assert not set(texts(splits.train)) & set(texts(splits.dev))
    assert loaded(train_per_class=4, dev_per_class=5, subsample=2) == splits
    other = loaded(train_per_class=4, dev_per_class=5, subsample=3)
    assert other.train != splits.train and other.dev != splits.dev
    assert other.fingerprint != splits.fingerprint
    assert loaded(train_per_class=4, subsample=2).train == splits.train


def test_development_per_class_beside_a_train_size(files):
    splits = loaded(train_size=20, dev_per_class=2)
    assert len(splits.train) == 20 and labels(splits.dev) == {"a": 2, "b": 2, "c": 2}
    assert not set(texts(splits.train)) & set(texts(splits.dev))


def test_development_per_class_from_its_own_file_whatever_the_subsample(files):
    first, second = (loaded(dev="dev.csv", train_per_class=2, dev_per_class=3, subsample=i) for i in (0, 1))
    assert labels(first.dev) == {"a": 3, "b": 3}
    assert first.dev == second.dev and first.train != second.train


def test_no_text_that_is_trained_on_is_chosen_by_even_from_the_same_file(files):
    splits = loaded(dev="train.csv", train_per_class=5, dev_per_class=5)
    assert not set(texts(splits.train)) & set(texts(splits.dev))
    with pytest.raises(DataError, match="at most 5, the records of class 'c' beside those trained on"):
        loaded(dev="train.csv", train_per_class=5, dev_per_class=6)


# -- folds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 7])
@pytest.mark.parametrize("counts", [{"a": 16, "b": 16}, {"a": 1, "b": 9, "c": 21}, {"a": 7, "b": 5}])
def test_folds_hold_every_record_and_their_share_of_every_label(n, counts):
    records = labelled(counts)
    found = folds(records, n, 0)
    assert len(found) == len(records) and set(found) == set(range(n))
    sizes = Counter(found)
    assert max(sizes.values()) - min(sizes.values()) <= 1
    for label in counts:
        of_label = Counter(fold for fold, record in zip(found, records, strict=True) if record.label == label)
        assert max(of_label.values()) - min(of_label[i] for i in range(n)) <= 1


def test_folds_are_drawn_and_not_slices():
    records = labelled({"a": 16})
    assert folds(records, 4, 0) == folds(records, 4, 0) != folds(records, 4, 1)
    slices = [i // 4 for i in range(16)]
    assert all(folds(records, 4, seed) != slices for seed in range(20))


def test_one_text_is_never_on_both_sides():
    twice = [LabelledText(str(i), f"text {i // 2}", "ab"[i % 2]) for i in range(20)]
    found = folds(twice, 3, 0)
    assert all(found[i] == found[i + 1] for i in range(0, 20, 2))
    generated = [Record(str(i), f"source {i % 4}", (f"target {i}",)) for i in range(12)]
    found = folds(generated, 4, 0)
    assert found == found[:4] * 3 and sorted(found[:4]) == [0, 1, 2, 3]


def test_more_folds_than_texts():
    with pytest.raises(DataError, match=r"data\.folds: got 4, expected at most 3, the different texts"):
        folds(labelled({"a": 3}), 4, 0)


def test_each_fold_once_is_development_and_the_test_set_stays(files):
    settings = {"dev": "dev.csv", "test": "test.csv", "train_per_class": 5, "folds": 4}
    whole = loaded(**{**settings, "folds": None})
    parts = [loaded(**settings, fold=i) for i in range(4)]
    everything = texts([*whole.train, *whole.dev])
    assert sorted(text for part in parts for text in texts(part.dev)) == sorted(everything)
    for part in parts:
        assert sorted(texts([*part.train, *part.dev])) == sorted(everything)
        assert set(labels(part.dev)) == {"a", "b", "c"}
        assert part.test == whole.test
    assert len({part.fingerprint for part in parts} | {whole.fingerprint}) == 5
    assert loaded(**settings, fold=1, subsample=1).dev != parts[1].dev


def test_development_records_can_be_trained_on_too(files):
    settings = {"dev": "dev.csv", "test": "test.csv", "train_per_class": 5, "dev_per_class": 2}
    apart, joined = loaded(**settings), loaded(**settings, join_dev=True)
    assert joined.train == [*apart.train, *apart.dev] and joined.dev == [] and joined.test == apart.test
    assert joined.fingerprint != apart.fingerprint
    shared = loaded(dev_share=0.25, join_dev=True)
    assert sorted(texts(shared.train)) == sorted(texts(loaded().train)) and shared.dev == []


def test_a_test_share_stays_out_of_every_draw(files):
    settings = {"test_share": 0.2, "train_per_class": 4, "dev_per_class": 2}
    first = loaded(**settings)
    tested = set(texts(first.test))
    assert len(tested) == 12 and not tested & set(texts([*first.train, *first.dev]))
    second = loaded(**settings, folds=3, fold=0, subsample=1)
    assert second.test == first.test == load_test(DataSettings(format="labelled_csv", train=Path("train.csv"),
                                                               test_share=0.2))  # fmt: skip
    assert not tested & set(texts([*second.train, *second.dev]))
    without = loaded(**settings, test_size=0)
    assert (without.train, without.dev, without.test) == (first.train, first.dev, [])


def test_a_test_set_of_no_records_is_not_read(files):
    assert loaded(test="nowhere.csv", test_size=0).test == []


def test_folds_of_texts_with_several_references(write):
    rows = [{"source": f"s{i}", "target": [f"t{i}a", f"t{i}b"]} for i in range(6)]
    splits = loaded(format="jsonl", train=write("x.jsonl", rows), folds=3, fold=0)
    assert len(splits.train) == 8 and [len(record.targets) for record in splits.dev] == [2, 2]
    assert not set(texts(splits.train)) & set(texts(splits.dev))


# -- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"train_per_class": 4, "train_size": 9},
            "data.train_per_class: got both data.train_per_class (4) and data.train_size, "
            "expected one of the two. Drop one.",
        ),
        (
            {"train": None, "test": "x", "train_per_class": 4},
            "data.train_per_class: got 4, expected a path in data.train to draw from. Give "
            "the path, or drop the size.",
        ),
        (
            {"format": "e2e", "train_per_class": 4},
            "data.train_per_class: got 4 for e2e, whose records have no label, expected a "
            "format of texts or pictures with labels. Give data.train_size instead.",
        ),
        (
            {"format": "copa", "dev": "x", "dev_per_class": 4},
            "data.dev_per_class: got 4 for copa, whose records have no label, expected a "
            "format of texts or pictures with labels. Give data.dev_size instead.",
        ),
        (
            {"dev_per_class": 4},
            "data.dev_per_class: got 4, expected data.dev to draw from, or "
            "data.train_per_class or data.train_size that leave records over. Give one of "
            "them.",
        ),
        (
            {"dev": "x", "dev_size": 3, "dev_per_class": 4},
            "data.dev_per_class: got both data.dev_per_class (4) and data.dev_size, expected "
            "one of the two. Drop one.",
        ),
        (
            {"train_size": 9, "dev_share": 0.3, "dev_per_class": 4},
            "data.dev_per_class: got both data.dev_per_class (4) and data.dev_share, "
            "expected one of the two. Drop one.",
        ),
        (
            {"format": "multirc", "dev": "x", "dev_per_class": 4},
            "data.dev_per_class: got 4 for multirc, whose records are scored in groups, "
            "expected all records of the file. Leave it out, or give a smaller file.",
        ),
        (
            {"format": "multirc", "folds": 4, "fold": 0},
            "data.folds: got 4 for multirc, whose records are scored in groups, expected all "
            "records of the file. Leave it out, or give a smaller file.",
        ),
        (
            {"join_dev": True},
            "data.join_dev: got true without development records, expected development "
            "records to join. Leave it out.",
        ),
        (
            {"dev": "x", "join_dev": True, "folds": 4, "fold": 0},
            "data.join_dev: got both data.join_dev and data.folds, expected one of the two. "
            "Drop one.",
        ),
        (
            {"folds": 4},
            "data.folds: got 4 without data.fold, expected both or neither. Give data.fold, "
            "or drop data.folds.",
        ),
        (
            {"fold": 0},
            "data.fold: got 0 without data.folds, expected both or neither. Give data.folds, "
            "or drop data.fold.",
        ),
        (
            {"folds": 4, "fold": 4},
            "data.fold: got 4, expected 0 to 3, the folds counted from 0.",
        ),
        (
            {"train": None, "test": "x", "folds": 4, "fold": 0},
            "data.folds: got 4, expected a path in data.train whose records are cut into "
            "folds. Give it.",
        ),
        (
            {"dev": "x", "dev_per_class": 2, "subsample": 1},
            "data.subsample: got 1, though nothing is drawn by it, expected data.train_size, "
            "data.train_per_class, data.dev_share or data.folds. Give one of them, or drop "
            "the subsample.",
        ),
    ],
)  # fmt: skip
def test_settings_that_contradict(settings, message):
    with pytest.raises(ConfigError) as caught:
        loaded(**settings)
    assert str(caught.value).splitlines() == [message]
