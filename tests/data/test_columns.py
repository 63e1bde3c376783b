import pytest

from softprompt.data.formats.columns import read_csv, read_jsonl
from softprompt.errors import DataError


def test_jsonl_takes_one_target_or_several_and_keeps_white_space(write):
    items = [{"q": "a ", "a": "b"}, {"q": "a ", "a": ["c", " d"], "extra": 1}]
    first, second = read_jsonl(write("x.jsonl", items), "q", "a")
    assert (first.id, first.source, first.targets) == ("x.jsonl:1", "a ", ("b",))
    assert (second.id, second.source, second.targets) == ("x.jsonl:2", "a ", ("c", " d"))


def test_csv_gathers_the_rows_of_one_source(write):
    path = write("x.csv", "id,text,label\n1,a,one\n2,b,two\n3,a,three\n")
    first, second = read_csv(path, "text", "label")
    assert (first.id, first.source, first.targets) == ("x.csv:2", "a", ("one", "three"))
    assert (second.id, second.source, second.targets) == ("x.csv:3", "b", ("two",))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"sorce": "a", "target": "b"},
            r"line 1: got no field 'source', expected .*\. Did you mean 'sorce'\?",
        ),
        (
            {"source": "a", "label": "b"},
            r"line 1: got no field 'target', expected .*\. Choose one of the fields here: source, label",
        ),
        ({"source": 3, "target": "b"}, r"line 1: got a number in 'source', expected a text"),
        ({"source": "a", "target": None}, r"line 1: got nothing in 'target', expected a text"),
        (
            {"source": "a", "target": ""},
            r"line 1: got an empty 'target', expected a text. Fill it in or remove",
        ),
        ({"source": "a", "target": []}, r"line 1: got an empty 'target', expected at least one text"),
        ({"source": "a", "target": ["b", 2]}, r"line 1: got a number in 'target', expected a text"),
        (
            {"source": "a\ud800", "target": "b"},
            r"line 1: got half a surrogate pair in a text, expected a JSON object",
        ),
    ],
)
def test_bad_jsonl(write, item, message):
    with pytest.raises(DataError, match=message):
        read_jsonl(write("x.jsonl", [item]), "source", "target")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "source,targe\na,b\n",
            r"x\.csv, line 1: got no column 'target', expected .*\. Did you mean 'targe'\?",
        ),
        ("source,target\na,b\n,c\n", r"x\.csv, line 3: got an empty 'source'"),
        ('source,target\n"a\nb",c\nd,\n', r"x\.csv, line 4: got an empty 'target'"),
    ],
)
def test_bad_csv(write, content, message):
    with pytest.raises(DataError, match=message):
        read_csv(write("x.csv", content), "source", "target")
