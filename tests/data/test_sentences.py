from collections import Counter

import pytest

from softprompt.data import FORMATS, LabelledText, read
from softprompt.errors import DataError


def test_sst2(write):
    first, second = read("sst2", write("x.tsv", "a fine film\t1\nnot a fine film\t0\n"))
    assert first == LabelledText("x.tsv:1", "a fine film", "positive")
    assert second == LabelledText("x.tsv:2", "not a fine film", "negative")
    assert FORMATS["sst2"].labels == ("negative", "positive")


def test_trec_in_latin_1(write):
    path = write("x.txt", "LOC:city Where is Málaga ?\nNUM:count How many ?\n".encode("latin-1"))
    assert [record.label for record in read("trec", path)] == ["LOC", "NUM"]
    first, second = read("trec_fine", path)
    assert first == LabelledText("x.txt:1", "Where is Málaga ?", "LOC:city")
    assert second.label == "NUM:count"


@pytest.mark.parametrize(
    ("format", "text", "message"),
    [
        ("sst2", "a\t1\nb\t2\n", r"line 2: got the label '2', expected 0 \(negative\) or 1 \(positive\)"),
        (
            "sst2",
            "sentence\tlabel\na\t1\n",
            r"line 1: got the label 'label', expected .*\. Read .* as labelled_tsv",
        ),
        ("sst2", "a\t1\n\t1\n", r"line 2: got an empty 'text'"),
        ("sst2", "a\n", r"line 1: got column 1, expected columns 0 to 0"),
        (
            "trec",
            "LOC:city Where ?\nLOC:cty Where ?\n",
            r"line 2: got the label 'LOC:cty', expected .*\. Did you mean 'LOC:city'",
        ),
        ("trec_fine", "LOC Where ?\n", r"line 1: got the label 'LOC', expected one of TREC's 50 classes"),
        ("trec", "LOC:city \n", r"line 1: got an empty 'question'"),
    ],
)
def test_bad_lines(write, format, text, message):
    with pytest.raises(DataError, match=message):
        read(format, write("x.txt", text))


@pytest.mark.parametrize(
    ("name", "records", "positive"), [("train", 6920, 3610), ("dev", 872, 444), ("test", 1821, 909)]
)
def test_published_sst2(real, name, records, positive):
    found = read("sst2", real(f"sst2/{name}.tsv"))
    assert (len(found), sum(record.label == "positive" for record in found)) == (records, positive)


@pytest.mark.parametrize(("name", "records", "fine"), [("train", 5452, 50), ("test", 500, 42)])
def test_published_trec(real, name, records, fine):
    coarse = Counter(record.label for record in read("trec", real(f"trec/{name}.txt")))
    assert sum(coarse.values()) == records
    assert tuple(sorted(coarse)) == FORMATS["trec"].labels
    labels = {record.label for record in read("trec_fine", real(f"trec/{name}.txt"))}
    assert len(labels) == fine
    assert labels <= set(FORMATS["trec_fine"].labels)
