import json
from dataclasses import replace

import pytest

from softprompt.config import DataSettings
from softprompt.data import (
    FORMATS,
    Answer,
    AnyRecord,
    Choices,
    LabelledText,
    Question,
    Record,
    Splits,
    TaggedWords,
    load,
)
from softprompt.data.splits import fingerprint
from softprompt.errors import ConfigError, DataError


@pytest.fixture
def folder(write, tmp_path, monkeypatch):
    """A data folder with t.jsonl (20 sources, 3 targets each) and d.jsonl (4 records)."""
    write("t.jsonl", [{"source": f"s{i}", "target": [f"t{i}{c}" for c in "abc"]} for i in range(20)])
    write("d.jsonl", [{"source": f"d{i}", "target": f"e{i}"} for i in range(4)])
    monkeypatch.setenv("SOFTPROMPT_DATA", str(tmp_path))
    return tmp_path


def loaded(**settings) -> Splits:
    return load(DataSettings.model_validate({"format": "jsonl"} | settings))


def test_paths_are_relative_to_the_data_folder_or_absolute(folder):
    splits = loaded(train="t.jsonl", dev=folder / "d.jsonl")
    assert (len(splits.train), len(splits.dev), splits.test) == (60, 4, [])
    assert [pair.targets for pair in splits.train[:3]] == [("t0a",), ("t0b",), ("t0c",)]


def test_sizes_are_drawn_and_only_training_follows_the_subsample(folder):
    def draw(subsample):
        paths = {"train": "t.jsonl", "dev": "d.jsonl", "test": "t.jsonl"}
        return loaded(**paths, train_size=10, dev_size=2, test_size=5, subsample=subsample)

    first, second = draw(0), draw(1)
    assert (len(first.train), len(first.dev), len(first.test)) == (10, 2, 5)
    assert first.train != second.train
    assert (first.dev, first.test) == (second.dev, second.test)
    assert draw(0) == first


def test_development_share_leaves_training_and_gathers_references(folder):
    splits = loaded(train="t.jsonl", train_size=50, dev_share=0.3, subsample=2)
    assert len(splits.train) == 35
    assert sum(len(record.targets) for record in splits.dev) == 15
    assert len({record.source for record in splits.dev}) == len(splits.dev) < 15
    assert not {record.source for record in splits.dev} & {pair.source for pair in splits.train}


def test_a_test_share_is_the_same_for_every_subsample_and_size(folder):
    first = loaded(train="t.jsonl", test_share=0.25)
    assert len(first.test) == 5 and len(first.train) == 45
    other = loaded(train="t.jsonl", test_share=0.25, train_size=9, subsample=3, dev_share=0.2)
    assert [r.source for r in other.test] == [r.source for r in first.test]
    apart = {r.source for r in first.test}
    assert not apart & {r.source for r in (*first.train, *other.train, *other.dev)}
    assert all(len(r.targets) == 3 for r in first.test)
    with pytest.raises(
        ConfigError,
        match=r"data\.test_share: got both data\.test_share \(0\.25\) and data\.test, expected one",
    ):
        loaded(train="t.jsonl", test="d.jsonl", test_share=0.25)
    with pytest.raises(ConfigError, match=r"data\.test_share: .* a path in data\.train to take the"):
        loaded(dev="d.jsonl", test_share=0.25)


def test_fingerprint_follows_the_content_and_not_its_place(folder, tmp_path):
    base = loaded(train="t.jsonl", dev="d.jsonl")
    elsewhere = tmp_path / "other.jsonl"
    elsewhere.write_bytes(b"\n" + (folder / "t.jsonl").read_bytes().replace(b"\n", b"\r\n"))
    assert loaded(train=elsewhere, dev="d.jsonl").fingerprint == base.fingerprint
    assert loaded(train="t.jsonl", test="d.jsonl").fingerprint != base.fingerprint
    assert loaded(train="t.jsonl", dev="d.jsonl", train_size=59).fingerprint != base.fingerprint
    elsewhere.write_bytes((folder / "t.jsonl").read_bytes().replace(b"t7b", b"t7B"))
    assert loaded(train=elsewhere, dev="d.jsonl").fingerprint != base.fingerprint
    assert len(base.fingerprint) == 64


def test_fingerprint_is_frozen(folder):
    assert (
        loaded(test="d.jsonl").fingerprint
        == "df520dcf1eb51c12b76dc33aaccc1e004754b1968a24f33ab16aba6d3f287768"
    )


def _questions() -> str:
    answer = {"text": "Rome", "answer_start": 0}
    asked = [{"id": f"q{i}", "question": f"Where {i}?", "answers": [answer]} for i in range(10)]
    return json.dumps({"data": [{"paragraphs": [{"context": "Rome.", "qas": asked}]}]})


COPA = {"choice1": "a", "choice2": "b", "question": "cause", "label": 1}
KINDS = {
    "rte": [{"premise": f"p{i}", "hypothesis": "h", "label": "entailment"} for i in range(10)],
    "copa": [COPA | {"premise": f"p{i}"} for i in range(10)],
    "conll": "".join(f"w{i} B-x\n\n" for i in range(10)),
    "squad": _questions(),
}


@pytest.mark.parametrize("format", KINDS)
def test_every_kind_is_drawn_and_shared(write, format):
    path = write("x", KINDS[format])
    settings = {"format": format, "train": path, "test": path}
    splits = loaded(**settings, train_size=8, test_size=5, dev_share=0.25)
    assert (len(splits.train), len(splits.dev), len(splits.test)) == (6, 2, 5)
    assert {type(record) for record in (*splits.train, *splits.dev, *splits.test)} == {FORMATS[format].record}
    assert len({record.source for record in (*splits.train, *splits.dev)}) == 8
    assert splits == loaded(**settings, train_size=8, test_size=5, dev_share=0.25)


def test_equal_texts_of_other_labels_stay_apart_in_a_development_share(write):
    path = write("x.csv", "text,label\na,yes\na,no\nb,yes\nb,no\n")
    splits = loaded(format="labelled_csv", train=path, dev_share=0.5)
    assert [len(record.targets) for record in splits.dev] == [1, 1]
    assert len({record.source for record in splits.dev}) == 1


def test_fingerprint_follows_kind_and_content():
    def one(record: AnyRecord) -> str:
        return fingerprint([], [], [record])

    base = LabelledText("1", "a | b", "x")
    assert one(base) == one(replace(base, id="2"))
    records = [
        *(
            base,
            replace(base, text="a", second="b"),
            replace(base, label=None),
            replace(base, tags={"k": "v"}),
        ),
        *(Record("1", "a | b", ("x",)), Choices("1", "a", ("b", "c"), 0), Choices("1", "a", ("b", "c"))),
        *(Question("1", "a", "b"), Question("1", "a", "b", answered=False)),
        *(Question("1", "a", "bb", (Answer("b", 0),)), Question("1", "a", "bb", (Answer("b", 1),))),
        *(TaggedWords("1", ("a", "b")), TaggedWords("1", ("a b",)), TaggedWords("1", ("a", "b"), ("O", "O"))),
    ]
    assert len({one(record) for record in records}) == len(records)


def test_fingerprint_of_labelled_texts_is_frozen():
    records = [LabelledText("1", "a", "x", "b", {"question": "1/1"})]
    assert fingerprint(records, [], []) == "c72ac58c4f25f5bb654bcfc93682f2cf88768191e92607ab9bb15696496fe14c"


def test_reading_settings_reach_the_reader(write):
    path = write("x.tsv", "yes\ta\nno\tb\n")
    splits = loaded(format="labelled_tsv", train=path, text=1, label=0)
    assert [(record.source, record.targets) for record in splits.train] == [("a", ("yes",)), ("b", ("no",))]
    path = write("x.conll", "B-x w 1\n")
    (record,) = loaded(format="conll", test=path, word_column=1, tag_column=0).test
    assert (record.source, record.targets) == ("w", ("B-x",))


def test_restaurants_need_no_file(monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTPROMPT_DATA", str(tmp_path / "none"))
    splits = loaded(format="restaurants")
    assert (len(splits.train), len(splits.dev), len(splits.test)) == (240, 30, 40)
    shared = loaded(format="restaurants", dev_share=0.1)
    assert len(shared.train) + sum(len(record.targets) for record in shared.dev) == 240


def test_extrapolation_filters_train_and_dev_but_not_test(write, tmp_path):
    entries = [
        f'<entry category="{category}" eid="Id{n}" size="1"><modifiedtripleset><mtriple>a{n} | b | c'
        '</mtriple></modifiedtripleset><lex comment="good">Text.</lex></entry>'
        for n, category in enumerate(["Food", "Artist", "City"])
    ]
    path = write("w.xml", f"<b><entries>{''.join(entries)}</entries></b>")
    splits = loaded(format="webnlg", train=path, dev=path, test=path, extrapolation="seen")
    assert [pair.tags["category"] for pair in splits.train] == ["Food", "City"]
    assert [record.tags["category"] for record in splits.dev] == ["Food", "City"]
    assert [record.tags["seen"] for record in splits.test] == ["seen", "unseen", "seen"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"format": "restaurants", "train": "x"},
            "data.train: got a path for restaurants, expected no path, since its records are generated",
        ),
        ({"format": "e2e"}, "data.train: got no path for e2e, expected E2E NLG's CSV"),
        (
            {"format": "e2e", "train": "x", "source": "q"},
            "data.source: got 'q' for e2e, expected format jsonl, csv, pictured_jsonl or pictured_csv",
        ),
        (
            {"format": "e2e", "train": "x", "target": "q"},
            "data.target: got 'q' for e2e, expected format jsonl, csv, pictured_jsonl or pictured_csv",
        ),
        (
            {"format": "rte", "train": "x", "label": "gold"},
            "data.label: got 'gold' for rte, expected format labelled_jsonl, labelled_csv,",
        ),
        (
            {"train": "x", "tagging": "iob1"},
            "data.tagging: got 'iob1' for jsonl, expected format conll",
        ),
        (
            {"format": "multirc", "test": "x", "test_size": 9},
            "data.test_size: got 9 for multirc, whose records are scored in groups, expected all "
            "records of the file",
        ),
        (
            {"format": "multirc", "train": "x", "dev_share": 0.3},
            "data.dev_share: got 0.3 for multirc, whose records are scored in groups",
        ),
        ({"train": "x", "source": "a", "target": "a"}, "data.target: got 'a', which is the source too"),
        (
            {"test": "x", "train_size": 9},
            "data.train_size: got 9, expected a path in data.train to draw from",
        ),
        ({"train": "x", "dev_size": 9}, "data.dev_size: got 9, expected a path in data.dev to draw from"),
        ({"train": "x", "test_size": 9}, "data.test_size: got 9, expected a path in data.test to draw from"),
        (
            {"test": "x", "dev_share": 0.3},
            "data.dev_share: got 0.3, expected a path in data.train to take the share from. Give the path",
        ),
        (
            {"train": "x", "dev": "y", "dev_share": 0.3},
            "data.dev_share: got both data.dev_share (0.3) and data.dev, expected one of the two",
        ),
        (
            {"train": "x", "dev_size": 9, "dev_share": 0.3},
            "data.dev_size: got both data.dev_size (9) and data.dev_share, expected one of",
        ),
        (
            {"train": "x", "subsample": 2},
            "data.subsample: got 2, though nothing is drawn by it, expected data.train_size",
        ),
        (
            {"train": "x", "extrapolation": "seen"},
            "data.extrapolation: got 'seen' for jsonl, expected format webnlg",
        ),
    ],
)
def test_settings_that_contradict(settings, message):
    with pytest.raises(ConfigError) as caught:
        loaded(**settings)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(message)


def test_contradictions_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        loaded(train="x", dev="y", dev_share=0.3, dev_size=2, extrapolation="seen")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "data.dev_share",
        "data.dev_size",
        "data.extrapolation",
    ]


def test_columns_at_their_defaults_are_no_contradiction(folder):
    (folder / "e.csv").write_text("mr,ref\nname[A],A.\n", encoding="utf-8")
    saved = json.loads(DataSettings.model_validate({"format": "e2e", "train": "e.csv"}).model_dump_json())
    assert len(load(DataSettings.model_validate(saved)).train) == 1


def test_size_larger_than_the_set(folder):
    with pytest.raises(
        DataError, match=r"data\.train_size: got 61, expected 1 to 60, as many records as there are\."
    ):
        loaded(train="t.jsonl", train_size=61)
    with pytest.raises(DataError, match=r"data\.test_size: got 5, expected 1 to 4"):
        loaded(test="d.jsonl", test_size=5)


def test_missing_set_names_the_data_folder(folder):
    with pytest.raises(
        DataError, match=r"e2e.devset\.csv: got no such file or folder, expected .*tuetschek.*SOFTPROMPT_DATA"
    ):
        loaded(format="e2e", train="e2e/devset.csv")


def test_low_data_on_the_published_set(real):
    path = real("e2e/devset.csv")
    splits = loaded(format="e2e", train=path, train_size=400, dev_share=0.3)
    assert (len(splits.train), sum(len(record.targets) for record in splits.dev)) == (280, 120)
    assert not {record.source for record in splits.dev} & {pair.source for pair in splits.train}
