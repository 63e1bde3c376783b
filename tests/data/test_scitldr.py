import pytest

from softprompt.data import pairs
from softprompt.data.formats.summarization import read_scitldr
from softprompt.errors import DataError


def test_sentences_are_joined_and_white_space_made_single(write):
    item = {
        "source": ["One  fact.\n", "", " Another."],
        "target": ["Short.\n", "Also short."],
        "paper_id": "x",
    }
    (record,) = read_scitldr(write("s.jsonl", [item]))
    assert (record.id, record.source) == ("s.jsonl:1", "One fact. Another.")
    assert record.targets == ("Short.", "Also short.")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"source": ["a"], "targets": ["b"]},
            r"line 2: got no field 'target', expected .*\. Did you mean 'targets'\?",
        ),
        ({"source": "a", "target": ["b"]}, r"line 2: got a text in 'source', expected a list of sentences"),
        (
            {"source": ["a", 1], "target": ["b"]},
            r"line 2: got a number among the sentences of 'source', expected texts",
        ),
        ({"source": [" "], "target": ["b"]}, r"line 2: got an empty 'source'"),
        ({"source": ["a"], "target": "b"}, r"line 2: got a text in 'target', expected a list of texts"),
        ({"source": ["a"], "target": []}, r"line 2: got an empty 'target', expected at least one text"),
        ({"source": ["a"], "target": ["b", ""]}, r"line 2: got an empty 'target'"),
    ],
)
def test_bad_lines(write, item, message):
    with pytest.raises(DataError, match=message):
        read_scitldr(write("s.jsonl", [{"source": ["a"], "target": ["b"]}, item]))


@pytest.mark.parametrize(
    ("name", "records", "n_pairs"),
    [("train.jsonl", 1992, 1992), ("dev.jsonl", 619, 1453), ("test.jsonl", 618, 1967)],
)
def test_published_files(real, name, records, n_pairs):
    read = read_scitldr(real("scitldr") / name)
    assert (len(read), len(pairs(read))) == (records, n_pairs)
    assert not any("\n" in text for record in read for text in (record.source, *record.targets))
