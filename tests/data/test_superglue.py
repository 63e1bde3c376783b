from collections import Counter

import pytest

from softprompt.data import FORMATS, Choices, LabelledText, read
from softprompt.errors import DataError

WSC = {"text": 'Ann met Bea, and "she waved.', "target": {"span1_text": "Ann", "span2_text": "she"}}
WIC = {"word": "feel", "sentence1": "I feel it.", "sentence2": "Feel free."}
COPA = {"premise": "It rained.", "choice1": "We got wet.", "choice2": "We sang."}
MULTIRC = {
    "passage": {
        "text": "A passage.",
        "questions": [
            {"question": "Who?", "answers": [{"text": "Ann", "label": 1}, {"text": "Bea", "label": 0}]},
            {"question": "Where?", "answers": [{"text": "Rome", "label": 0}]},
        ],
    }
}


def wsc(index: int, **changes: object) -> dict:
    return WSC | {"target": WSC["target"] | {"span2_index": index}} | changes


@pytest.mark.parametrize(
    ("format", "item", "text", "second", "label"),
    [
        ("boolq", {"question": "is it", "passage": "It is.", "label": True}, "is it", "It is.", "true"),
        ("cb", {"premise": "p", "hypothesis": "h", "label": "neutral"}, "p", "h", "neutral"),
        ("rte", {"premise": "p", "hypothesis": "h", "label": "entailment"}, "p", "h", "entailment"),
        ("wic", WIC | {"label": False}, "feel: I feel it.", "feel: Feel free.", "false"),
        ("wsc", wsc(4, label=True), 'Ann met Bea, and "*she* waved.', "Ann", "true"),
    ],
)
def test_pairs(write, format, item, text, second, label):
    (record,) = read(format, write("x.jsonl", [item]))
    assert record == LabelledText("x.jsonl:1", text, label, second)
    assert label in FORMATS[format].labels


def test_two_labels_have_the_positive_one_last():
    assert FORMATS["rte"].labels == ("not_entailment", "entailment")
    for format in ("boolq", "multirc", "wic", "wsc"):
        assert FORMATS[format].labels == ("false", "true")


def test_copa_asks_in_words(write):
    items = [COPA | {"question": "effect", "label": 0}, COPA | {"question": "cause", "label": 1}]
    first, second = read("copa", write("x.jsonl", items))
    choices = ("We got wet.", "We sang.")
    assert first == Choices("x.jsonl:1", "It rained. What happened as a result?", choices, 0)
    assert second == Choices("x.jsonl:2", "It rained. What was the cause of this?", choices, 1)


def test_multirc_has_a_record_per_answer_and_names_its_question(write):
    records = read("multirc", write("x.jsonl", [MULTIRC, MULTIRC]))
    assert [record.second for record in records[:3]] == ["Who? Ann", "Who? Bea", "Where? Rome"]
    assert [record.label for record in records[:3]] == ["true", "false", "false"]
    assert {record.text for record in records} == {"A passage."}
    questions = [record.tags["question"] for record in records]
    assert questions == ["1/1", "1/1", "1/2", "2/1", "2/1", "2/2"]
    assert len({record.id for record in records}) == 6


def test_a_file_without_labels_is_unlabelled(write):
    bare = [{"text": "Ann"}]
    multirc = {"passage": {"text": "P.", "questions": [{"question": "Who?", "answers": bare}]}}
    for format, item in {
        "boolq": {"question": "q", "passage": "p"},
        "copa": COPA | {"question": "cause"},
        "multirc": multirc,
    }.items():
        (record,) = read(format, write("x.jsonl", [item]))
        assert record.label is None
        assert record.targets == ()


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (1, "It rained, so *it* stayed."),  # not at word 1, but there is one only
        (2, "He saw *it* and it saw him."),  # at word 2, though there are two
    ],
)
def test_wsc_marks_the_pronoun_where_it_stands(write, index, text):
    target = {"span1_text": "it", "span2_text": "it", "span2_index": index}
    (record,) = read("wsc", write("x.jsonl", [{"text": text.replace("*", ""), "target": target}]))
    assert record.text == text


@pytest.mark.parametrize(
    ("format", "item", "message"),
    [
        ("boolq", {"question": "q", "label": True}, "line 2: got no field 'passage'"),
        ("boolq", {"question": "q", "passage": " ", "label": True}, "line 2: got an empty 'passage'"),
        (
            "boolq",
            {"question": "q", "passage": "p", "label": "true"},
            "line 2: got the label 'true', expected tr",
        ),
        (
            "boolq",
            {"question": "q", "passage": "p", "label": 1},
            "line 2: got the label 1, expected true or false",
        ),
        ("boolq", {"question": "q", "passage": "p"}, "line 2: got no field 'label'"),
        (
            "rte",
            {"premise": "p", "hypothesis": 3, "label": "entailment"},
            "line 2: got a number in 'hypothesis'",
        ),
        (
            "rte",
            {"premise": "p", "hypothesis": "h", "label": "neutral"},
            "line 2: got the label 'neutral', expected one of not_entailment, entailment",
        ),
        (
            "cb",
            {"premise": "p", "hypothesis": "h", "label": None},
            "line 2: got the label None, expected one of",
        ),
        ("wic", {"sentence1": "a", "sentence2": "b", "label": True}, "line 2: got no field 'word'"),
        ("wsc", WSC | {"label": True}, "line 2: got no field 'span2_index'"),
        ("wsc", WSC | {"label": True, "target": "Ann"}, "line 2: got a text in 'target', expected an object"),
        ("wsc", wsc(-1, label=True), "line 2: got span2_index -1, expected a whole number"),
        (
            "wsc",
            wsc(0, label=True, text="she saw her, and then she ran, as she does")
            | {"target": {"span1_text": "Ann", "span2_text": "she", "span2_index": 1}},
            "line 2: got the pronoun 'she', which is not word 1 and stands 3 times in the text, expected",
        ),
        (
            "wsc",
            wsc(99, label=True, text="Nobody waved."),
            "line 2: got the pronoun 'she', which is not word 99 and stands 0 times",
        ),
        (
            "copa",
            COPA | {"question": "why", "label": 0},
            "line 2: got 'why' in 'question', expected 'cause' or",
        ),
        ("copa", COPA | {"question": "cause", "label": 2}, "line 2: got the label 2, expected 0 or 1"),
        ("copa", COPA | {"question": "cause", "label": True}, "line 2: got the label True, expected 0 or 1"),
        ("multirc", {"passage": "text"}, "line 2: got a text in 'passage', expected an object"),
        ("multirc", {"passage": {"text": "t"}}, "line 2: got no field 'questions'"),
        ("multirc", {"passage": {"text": "t", "questions": []}}, "line 2: got an empty 'questions'"),
        (
            "multirc",
            {"passage": {"text": "t", "questions": ["q"]}},
            "line 2, question 1: got a text, expected an obj",
        ),
        (
            "multirc",
            {"passage": {"text": "t", "questions": [{"question": "q", "answers": [{"text": "a"}]}]}},
            "line 2, question 1, answer 1: got no field 'label'",
        ),
        (
            "multirc",
            {
                "passage": {
                    "text": "t",
                    "questions": [{"question": "q", "answers": [{"text": "a", "label": "1"}]}],
                }
            },
            "line 2, question 1, answer 1: got the label '1', expected 0 or 1",
        ),
    ],
)
def test_bad_lines(write, format, item, message):
    good = {
        "boolq": {"question": "q", "passage": "p", "label": True},
        "rte": {"premise": "p", "hypothesis": "h", "label": "entailment"},
        "cb": {"premise": "p", "hypothesis": "h", "label": "neutral"},
        "wic": WIC | {"label": True},
        "wsc": wsc(4, label=True),
        "copa": COPA | {"question": "cause", "label": 0},
        "multirc": MULTIRC,
    }
    with pytest.raises(DataError) as caught:
        read(format, write("x.jsonl", [good[format], item]))
    assert f"x.jsonl, {message}" in str(caught.value)


def test_a_misspelt_label_is_not_a_missing_one(write):
    with pytest.raises(
        DataError, match=r"line 1: got no field 'label', expected .*\. Did you mean 'lable'\?"
    ):
        read("rte", write("x.jsonl", [{"premise": "p", "hypothesis": "h", "lable": "entailment"}]))


@pytest.mark.parametrize(
    ("format", "folder", "counts"),
    [
        ("boolq", "BoolQ", [(32, 18), (32, 19), (3270, 2033)]),
        ("cb", "CB", [(32, 19), (32, 17), (56, 23)]),
        ("copa", "COPA", [(32, 18), (32, 17), (100, 45)]),
        ("multirc", "MultiRC", [(154, 68), (167, 74), (4848, 2075)]),
        ("rte", "RTE", [(32, 13), (32, 21), (277, 146)]),
        ("wic", "WiC", [(32, 17), (32, 16), (638, 319)]),
        # FewGLUE's 32 training examples of WSC are all true
        ("wsc", "WSC", [(32, 32), (32, 10), (104, 38)]),
    ],
)
def test_published_files(real, format, folder, counts):
    """Records and how many have the label true, entailment or 1."""
    for name, (records, positive) in zip(("train", "dev32", "val"), counts, strict=True):
        found = read(format, real(f"fewglue/{folder}/{name}.jsonl"))
        labels = Counter(record.label for record in found)
        assert len(found) == records
        assert labels["true"] + labels["entailment"] + labels[1] == positive
        assert set(labels) <= set(FORMATS[format].labels or (0, 1))


def test_published_wsc_marks_every_pronoun(real):
    for name in ("train", "dev32", "val"):
        for record in read("wsc", real(f"fewglue/WSC/{name}.jsonl")):
            assert record.text.count("*") == 2


def test_published_multirc_questions(real):
    found = read("multirc", real("fewglue/MultiRC/val.jsonl"))
    assert len({record.tags["question"] for record in found}) == 953
    assert len({record.text for record in found}) == 83
