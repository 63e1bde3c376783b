import json

import pytest

from softprompt.data.formats.table_to_text import read_dart
from softprompt.errors import DataError

ITEM = {
    "tripleset": [["Mill Lane", "BUILT_IN", "1907"], ["Mill Lane", "[TITLE]", "Lanes"]],
    "subtree_was_extended": False,
    "annotations": [
        {"source": "made_up", "text": "Mill Lane is from 1907. "},
        {"source": "x", "text": "Two."},
    ],
}


def test_form_lowers_relations_and_has_no_leading_bar(write):
    (record,) = read_dart(write("d.json", json.dumps([ITEM], indent=1)))
    assert record.source == "Mill Lane : built_in : 1907 | Mill Lane : [title] : Lanes"
    assert record.targets == ("Mill Lane is from 1907.", "Two.")
    assert record.id == "d.json:1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '[\n{"tripleset": []\n',
            r"d\.json, line 3: got invalid JSON \(.*column 1\), expected DART's list of objects",
        ),
        ("{}", r"d\.json: got an object, expected DART's list of objects"),
        ("[]", r"d\.json: got an empty list"),
        ("[" * 100_000, r"d\.json: got JSON that is nested too deeply"),
        ("[3]", r"d\.json, item 1: got a number, expected an object with tripleset and annotations"),
        ('[{"triples": []}]', r"item 1: got no field 'tripleset', expected .*\. Did you mean 'triples'\?"),
        ('[{"tripleset": []}]', r"item 1: got tripleset \[\], expected at least one"),
        (json.dumps([ITEM, {"tripleset": [["a", "b", "c"]]}]), r"item 2: got no field 'annotations'"),
        (
            json.dumps([ITEM | {"annotations": []}]),
            r"item 1: got annotations \[\], expected at least one annotation",
        ),
        (json.dumps([ITEM | {"annotations": ["text"]}]), r"got the annotation 'text', expected an object"),
        (json.dumps([ITEM | {"annotations": [{"text": ""}]}]), r"item 1: got an empty 'text'"),
        (
            json.dumps([ITEM | {"tripleset": [["a", "b"]]}]),
            r"got the triple \['a', 'b'\], expected \[subject, relation",
        ),
        (json.dumps([ITEM | {"tripleset": [["a", None, "c"]]}]), r"got the triple \['a', None, 'c'\]"),
    ],
)
def test_bad_files(write, content, message):
    with pytest.raises(DataError, match=message):
        read_dart(write("d.json", content))
