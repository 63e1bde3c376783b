"""Data files that lead readers astray: refused with the place, or read as what they say."""

import json
import os
import time

import pytest

from softprompt.data import read
from softprompt.errors import ConfigError, DataError
from support.pictures import encoded, picture

LINE_BASED = {
    "jsonl": '{"source": "a", "target": "b"}\n' * 3,
    "labelled_jsonl": '{"text": "a", "label": "b"}\n' * 3,
    "labelled_tsv": "text\tlabel\na\tx\nb\ty\n",
    "sst2": "a\t1\nb\t0\nc\t1\n",
    "trec": "LOC:city Where ?\nNUM:date When ?\n",
    "conll": "Ann\tB-x\nruns\tO\n\nBob\tB-x\n",
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "d.txt"


@pytest.mark.parametrize("format", LINE_BASED)
def test_carriage_returns_alone_end_lines_where_nothing_else_does(file, format):
    file.write_bytes(LINE_BASED[format].encode())
    plain = read(format, file)
    file.write_bytes(LINE_BASED[format].replace("\n", "\r").encode())
    assert read(format, file) == plain


@pytest.mark.parametrize("format", LINE_BASED)
def test_carriage_returns_inside_of_lines_are_refused(file, format):
    file.write_bytes(LINE_BASED[format].replace("\n", "\r", 1).encode())
    with pytest.raises(DataError, match=r"line 1: got (a carriage return inside of|invalid JSON)"):
        read(format, file)


@pytest.mark.parametrize("format", LINE_BASED)
@pytest.mark.parametrize("end", ["\r\n", "\r\r\n"])
def test_carriage_returns_before_line_feeds_are_line_ends(file, format, end):
    file.write_bytes(LINE_BASED[format].encode())
    plain = read(format, file)
    file.write_bytes(LINE_BASED[format].replace("\n", end).encode())
    assert read(format, file) == plain


@pytest.mark.parametrize("format", [*LINE_BASED, "csv", "dart"])
def test_nul_bytes(file, format):
    text = LINE_BASED.get(format, 'source,target\n"a",b\n')
    file.write_bytes(text.replace("\n", "\n\0", 1).encode())
    with pytest.raises(DataError, match="line 2: got the character NUL"):
        read(format, file)


@pytest.mark.parametrize("format", ["jsonl", "labelled_jsonl"])
def test_nul_in_an_escape(file, format):
    file.write_text(LINE_BASED[format].replace('"a"', '"a\\u0000"', 1))
    with pytest.raises(DataError, match="line 1: got the character NUL in"):
        read(format, file)


@pytest.mark.parametrize(
    "options",
    [{"label": -1}, {"text": -2, "label": 0}, {"text": True, "label": 1}, {"text": 1.5},
    {"text": 0, "label": -1}],
)  # fmt: skip
def test_columns_are_counted_from_0(file, options):
    file.write_text("a\tx\nb\ty\n")
    with pytest.raises(ConfigError, match=r"expected a column's name, or its number from 0"):
        read("labelled_tsv", file, **{"text": 0, "label": 1, **options})


def test_a_list_of_columns_is_for_several_labels(file):
    file.write_text("a\tx\nb\ty\n")
    with pytest.raises(ConfigError, match=r"got \['x'\] for labelled_tsv, expected one column.*multi_label"):
        read("labelled_tsv", file, text=0, label=["x"])


@pytest.mark.parametrize(
    ("format", "option"),
    [("conll", {"word_column": 1.5}), ("jsonl", {"source": 3}), ("csv", {"target": None})],
)
def test_options_of_other_kinds(file, format, option):
    file.write_text("a\tO\n")
    with pytest.raises(ConfigError, match=f"data.{next(iter(option))}: got"):
        read(format, file, **option)


def test_every_bad_row_is_named(file):
    rows = [
        '{"source": "a", "target": "b"}',
        "[1]",
        '{"source": "", "target": "b"}',
        '{"source": 3, "target": "b"}',
        "{",
    ]
    file.write_text("\n".join(rows))
    with pytest.raises(DataError) as caught:
        read("jsonl", file)
    assert [line.partition(": got")[0][-6:] for line in str(caught.value).split("\n")] == [
        "line 2", "line 3", "line 4", "line 5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("format", "row", "bad"),
    [
        ("csv", "source,target\n", "a\n"),
        ("labelled_csv", "text,label\n", "a, x\n"),
        ("labelled_tsv", "text\tlabel\n", "a\n"),
        ("sst2", "a\t1\n", "a\t7\n"),
        ("trec", "LOC:city Where ?\n", "LOC:town Where ?\n"),
        ("conll", "Ann O\n\n", "Ann X\n\n"),
        ("e2e", "mr,ref\n", "name,x\n"),
        ("rte", '{"premise": "a", "hypothesis": "b", "label": "entailment"}\n',
        '{"premise": "a", "label": "entailment"}\n'),
    ],
)  # fmt: skip
def test_of_many_bad_rows_the_first_ten_are_listed_and_all_are_counted(file, format, row, bad):
    file.write_text(row + bad * 3_000)
    began = time.process_time()
    with pytest.raises(DataError, match=r"^\S+, line [23]: .*") as caught:
        read(format, file)
    *listed, count = str(caught.value).split("\n")
    assert len(listed) == 10 and all(", line " in line for line in listed)
    assert count.startswith("3,000 of 3,00") and "data.on_bad_row to skip" in count
    assert time.process_time() - began < 2
    kept = read(format, file, on_bad_row="skip") if format in ("conll", "sst2", "trec", "rte") else [0]
    assert len(kept) == 1


@pytest.mark.parametrize("format", ["dart", "squad"])
def test_mistakes_of_one_json_value(file, format):
    questions = [{"id": str(n), "question": "", "answers": []} for n in range(2)] + [
        {"id": "3", "question": "x", "answers": []}
    ]
    whole = {
        "dart": [3, {"tripleset": [], "annotations": []}],
        "squad": {"data": [{"paragraphs": [{"context": "a", "qas": questions}]}]},
    }  # fmt: skip
    file.write_text(json.dumps(whole[format]))
    with pytest.raises(DataError) as caught:
        read(format, file)
    assert len(str(caught.value).split("\n")) == {"dart": 2, "squad": 3}[format]


@pytest.mark.parametrize("names", [("train",), ("train", "val"), ("Train", "dev", "TEST")])
def test_folders_of_splits_are_no_classes(tmp_path, names):
    for name in names:
        (tmp_path / "x" / name).mkdir(parents=True)
        (tmp_path / "x" / name / "0.png").write_bytes(encoded(picture((9, 9, 9), 0)))
    with pytest.raises(DataError, match=rf"folders of splits.*Give x/{sorted(names)[0]} itself"):
        read("image_folder", tmp_path / "x")
    (tmp_path / "x" / "cat").mkdir()
    (tmp_path / "x" / "cat" / "0.png").write_bytes(encoded(picture((9, 9, 9), 0)))
    assert {record.label for record in read("image_folder", tmp_path / "x")} == {*names, "cat"}


@pytest.mark.skipif(os.name == "nt", reason="paths of Windows are shorter")
def test_folders_within_each_other(tmp_path):
    below = tmp_path / "x" / "a"
    for _ in range(300):
        below = below / "deeper"
    below.mkdir(parents=True)
    began = time.process_time()
    with pytest.raises(DataError, match="folders nested more than 100 deep"):
        read("image_folder", tmp_path / "x")
    assert time.process_time() - began < 1


def test_codecs_that_warn(file):
    file.write_text('<?xml version="1.0" encoding="unicode_escape"?><a>\\]</a>')
    with pytest.raises(DataError):
        read("webnlg", file)
