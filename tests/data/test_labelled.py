import pytest

from softprompt.data import LabelledText, read
from softprompt.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("value", "label"),
    [("good", "good"), (True, "true"), (False, "false"), (0, "0"), (-3, "-3"), (2.5, "2.5")],
)
def test_json_labels_become_text(write, value, label):
    (record,) = read("labelled_jsonl", write("x.jsonl", [{"text": " A film. ", "label": value}]))
    assert record == LabelledText("x.jsonl:1", " A film. ", label)


def test_columns_are_named(write):
    item = {"a": "one", "b": "two", "score": 3.25}
    options = {"text": "a", "second": "b", "label": "score"}
    expected = ("one", "two", "3.25")
    (record,) = read("labelled_jsonl", write("x.jsonl", [item]), **options)
    assert (record.text, record.second, record.label) == expected
    for name, text in {
        "csv": 'score,b,a\n3.25,two,"one"\n',
        "tsv": "score\tb\ta\n3.25\ttwo\tone\n",
    }.items():
        (record,) = read(f"labelled_{name}", write(f"x.{name}", text), **options)
        assert (record.id, record.text, record.second, record.label) == (f"x.{name}:2", *expected)


def test_no_label_column(write):
    path = write("x.csv", "text,label\nA film.,good\n")
    assert read("labelled_csv", path, label=None) == [LabelledText("x.csv:2", "A film.")]
    assert read("labelled_jsonl", write("x.jsonl", [{"text": "a"}]), label=None)[0].targets == ()


def test_tsv_by_number_has_no_header_and_no_quotes(write):
    path = write("x.tsv", '\ufeff"a" b\t1\r\n\nc "\t0\n')
    first, second = read("labelled_tsv", path, text=0, label=1)
    assert (first.id, first.text, first.label) == ("x.tsv:1", '"a" b', "1")
    assert (second.id, second.text, second.label) == ("x.tsv:3", 'c "', "0")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"txt": "a", "label": 1}, r"line 2: got no field 'text', expected .*\. Did you mean 'txt'\?"),
        ({"text": "a"}, r"line 2: got no field 'label'"),
        ({"text": 3, "label": 1}, r"line 2: got a number in 'text', expected a text"),
        ({"text": "", "label": 1}, r"line 2: got an empty 'text'"),
        ({"text": "a", "label": ""}, r"line 2: got an empty 'label'"),
        (
            {"text": "a", "label": None},
            r"line 2: got nothing in 'label', expected a text, a number, true or fal",
        ),
        ({"text": "a", "label": [1]}, r"line 2: got a list in 'label'"),
        ({"text": "a", "label": float("nan")}, r"line 2: got nan in 'label', expected a text, a number"),
        (
            {"text": "a", "label": "b "},
            r"line 2: got the label 'b ' in 'label', expected a label without white",
        ),
    ],
)
def test_bad_jsonl(write, item, message):
    with pytest.raises(DataError, match=message):
        read("labelled_jsonl", write("x.jsonl", [{"text": "a", "label": 1}, item]))


@pytest.mark.parametrize(
    ("format", "content", "options", "message"),
    [
        (
            "labelled_csv",
            "text,labels\na,b\n",
            {},
            r"line 1: got no column 'label', expected .*\. Did you mean 'labels'\?",
        ),
        ("labelled_csv", "text,label\na,\n", {}, r"line 2: got an empty 'label'"),
        ("labelled_csv", "text,label\n ,b\n", {}, r"line 2: got an empty 'text'"),
        (
            "labelled_tsv",
            "text,label\na,b\n",
            {},
            r"line 1: got no column 'text', expected .*\. .*text,label",
        ),
        (
            "labelled_tsv",
            "text\tlabel\na\n",
            {},
            r"line 2: got 1 field, expected 2, as in the first line. Sep",
        ),
        ("labelled_tsv", "a\tb\nc\td\te\n", {"text": 0, "label": 1}, r"line 2: got 3 fields, expected 2"),
        (
            "labelled_tsv",
            "a\tb\n",
            {"text": 1, "label": 2},
            r"line 1: got column 2, expected columns 0 to 1, which the line has. Count columns from 0",
        ),
        ("labelled_tsv", "a\t1\n\t1\n", {"text": 0, "label": 1}, r"line 2: got an empty '0'"),
    ],
)
def test_bad_tables(write, format, content, options, message):
    with pytest.raises(DataError, match=message):
        read(format, write("x", content), **options)


@pytest.mark.parametrize(
    ("format", "options", "message"),
    [
        (
            "labelled_jsonl",
            {"text": 0},
            r"data\.text: got the number 0 for labelled_jsonl, expected a column's name",
        ),
        (
            "labelled_csv",
            {"label": 1},
            r"data: got numbers for some columns \(label\) and names for others",
        ),
        (
            "labelled_tsv",
            {"text": 0},
            r"data: got numbers for some columns \(text\) and names for "
            r"others, expected columns that are all ",
        ),
        (
            "labelled_csv",
            {"second": "text"},
            r"data\.second: got 'text', which is the text too, expected another",
        ),
        ("labelled_csv", {"label": "text"}, r"data\.label: got 'text', which is the text too"),
    ],
)
def test_columns_that_do_not_fit(write, format, options, message):
    with pytest.raises(ConfigError, match=message):
        read(format, write("x", "text\tlabel\na\tb\n"), **options)
