import pytest

from softprompt.data import TaggedWords, read
from softprompt.errors import ConfigError, DataError


def test_blank_lines_and_document_starts_end_a_sentence(write):
    lines = ["-DOCSTART- -X- O", "", "Ann NNP B-per\r", "Lee NNP I-per", " \t ", "ran VBD O"]
    path = write("x.conll", "\n".join([*lines, "-DOCSTART- -X- O", "Rome NNP B-loc"]))
    first, second, third = read("conll", path)
    assert first == TaggedWords("x.conll:3", ("Ann", "Lee"), ("B-per", "I-per"))
    assert second == TaggedWords("x.conll:6", ("ran",), ("O",))
    assert third == TaggedWords("x.conll:8", ("Rome",), ("B-loc",))


def test_columns_are_chosen(write):
    path = write("x.conll", "1 Ann NNP B-per x\n2 ran VBD O y\n")
    (record,) = read("conll", path, word_column=1, tag_column=-2)
    assert (record.words, record.labels) == (("Ann", "ran"), ("B-per", "O"))
    (record,) = read("conll", path, word_column=1, tag_column=None)
    assert (record.words, record.labels, record.targets) == (("Ann", "ran"), (), ())


def test_words_may_hold_spaces_and_other_white_space(write):
    path = write("x.conll", "New\u00a0York\tB-loc\nto day\tO\na\u200bb\u0085c\tO\n")
    assert read("conll", path)[0].words == ("New\u00a0York", "to day", "a\u200bb\u0085c")


def test_iob1_becomes_bio(write):
    tags = "I-per I-per O I-loc B-loc I-loc I-per B-per".split()
    text = "".join(f"w{i} {tag}\n" for i, tag in enumerate(tags)) + "\nw I-per\n"
    first, second = read("conll", write("x.conll", text), tagging="iob1")
    assert first.labels == tuple("B-per I-per O B-loc B-loc I-loc B-per B-per".split())
    assert second.labels == ("B-per",)


def test_iob1_leaves_bio_as_it_is(write):
    path = write("x.conll", "a B-x\nb I-x\nc B-x\nd O\ne B-y\n")
    assert read("conll", path, tagging="iob1") == read("conll", path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a O\nb I-x\n",
            "line 2: got the tag I-x after O, expected B-x or I-x before it (BIO). Make it B-x, or set",
        ),
        ("a I-x\n", "line 1: got the tag I-x after O"),
        ("a B-x\nb I-y\n", "line 2: got the tag I-y after B-x, expected B-y or I-y before it"),
        ("a B-x\n\nb I-x\n", "line 3: got the tag I-x after O"),
        (
            "a B-x\nb E-x\n",
            "line 2: got the tag 'E-x', expected O, B-<type> or I-<type>. Set data.tag_column",
        ),
        ("a B-\n", "line 1: got the tag 'B-', expected O, B-<type>"),
        ("a o\n", "line 1: got the tag 'o'"),
        ("a O\nb\n", "line 2: got 1 column, expected 2, as in the first line"),
        ("a O\nb c O\n", "line 2: got 3 columns, expected 2"),
        ("a\tO\tx\nb\t\tx\n", "line 2: got an empty column 1, expected a word and its tag. Fill it in"),
    ],
)
def test_bad_files(write, text, message):
    columns = {"tag_column": 1} if "x\nb\t" in text else {"tagging": "bio"}
    with pytest.raises(DataError) as caught:
        read("conll", write("x.conll", text), **columns)
    assert f"x.conll, {message}" in str(caught.value)


def test_column_that_is_not_there(write):
    path = write("x.conll", "a O\n")
    with pytest.raises(
        DataError, match=r"line 1: got 2 as data\.word_column, expected -2 to 1 in a line of 2 columns\."
    ):
        read("conll", path, word_column=2)
    with pytest.raises(DataError, match=r"line 1: got -3 as data\.tag_column, expected -2 to 1 "):
        read("conll", path, tag_column=-3)


def test_words_that_are_the_tags(write):
    with pytest.raises(ConfigError, match=r"data\.tag_column: got 0, which is the word_column too"):
        read("conll", write("x.conll", "a O\n"), tag_column=0)


def test_unknown_tagging(write):
    with pytest.raises(ConfigError, match=r"data\.tagging: got 'bieos', expected one of auto, bio, iob1, "):
        read("conll", write("x.conll", "a O\n"), tagging="bieos")


@pytest.mark.parametrize("text", ["\n \n", "-DOCSTART- O\n\n"])
def test_no_sentence(write, text):
    with pytest.raises(DataError, match=r"x\.conll: got (an empty file|no records), expected"):
        read("conll", write("x.conll", text))


@pytest.mark.parametrize(
    ("name", "sentences", "words", "entities"),
    [
        ("wnut17train.conll", 3394, 62730, 1975),
        ("emerging.dev.conll", 1009, 15733, 836),
        ("emerging.test.annotated", 1287, 23394, 1079),
    ],
)
def test_published_files(real, name, sentences, words, entities):
    records = read("conll", real(f"wnut17/{name}"))
    tags = [tag for record in records for tag in record.labels]
    assert (len(records), len(tags)) == (sentences, words)
    assert sum(tag.startswith("B-") for tag in tags) == entities
    assert {tag[2:] for tag in tags} - {""} == {
        *("person", "location", "corporation", "product", "group", "creative-work"),
    }
