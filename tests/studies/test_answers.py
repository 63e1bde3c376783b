"""What each task really writes into `outputs.jsonl`, and how a report says it."""

import json
from typing import Any

import pytest
import torch

import softprompt
from softprompt.config import DecodingSettings, GenerationSettings, ImageClassificationSettings
from softprompt.data import read
from softprompt.data.records import Answer, Choices, LabelledText, Question, Record, TaggedWords
from softprompt.tasks import answer_of
from softprompt.tasks.headed.image_classification import ImageClassificationTask
from softprompt.tasks.language.generation import GenerationTask
from softprompt.training import output_lines
from support.blanks import RECORDS as SENTENCES
from support.blanks import blank_backbone, cloze, probing
from support.pictures import picture_folder
from support.reading import bert, gpt2, prompt_of, task_of
from support.tiny_vision import tiny_vision

CHOICES = [
    Choices("1", "the mill | is it", ("the / mill", "is / cheap | or", "food"), 1),
    Choices("2", "food", ("is / it", "the mill"), 0),
    Choices("3", "Blue Spice / a restaurant", ("by the riverside / city", "in", "city"), 2),
]
BLANKS = [
    Choices("1", "it was so", ("great", "terrible film"), 1),
    Choices("2", "bad", ("film", "Paris"), 0),
]
CONTEXT = "It is a Chinese restaurant by the riverside."


def written(task: Any, prompt: Any, records: list[Any]) -> tuple[list[Any], list[dict[str, Any]]]:
    """The outputs, and the lines that a run keeps of them."""
    with torch.no_grad(), task.backbone.prompted(prompt):
        outputs = task.predict(records)
    return outputs, [json.loads(line) for line in output_lines(records, outputs).splitlines()]


def said(name: str, task: Any, prompt: Any, records: list[Any]) -> tuple[list[Any], list[str]]:
    outputs, lines = written(task, prompt, records)
    return outputs, [answer_of(name, line) for line in lines]


def reading(name: str, records: list[Any], labels: tuple[str, ...] = (), **settings: Any) -> Any:
    task = task_of(bert(), name, labels, **settings)
    return said(name, task, prompt_of(bert(), task), records)


def test_texts():
    decoding = DecodingSettings(strategy="greedy", max_new_tokens=6)
    task = GenerationTask(gpt2(), GenerationSettings(), decoding=decoding)
    outputs, texts = said("generation", task, None, [Record("1", "name : The Mill", ("The Mill.",))])
    assert texts == outputs and all(isinstance(text, str) for text in outputs)


def test_labels():
    records = [
        LabelledText(str(i), text, "yes") for i, text in enumerate(("the mill", "food", "is it cheap"))
    ]
    outputs, texts = reading("classification", records, ("no", "yes"))
    assert texts == outputs and set(texts) <= {"no", "yes"}


def test_numbers():
    records = [LabelledText(str(i), text, "0.5") for i, text in enumerate(("the mill", "food"))]
    outputs, texts = reading("regression", records)
    assert [float(text) for text in texts] == pytest.approx(outputs, rel=1e-3)


def test_choices():
    outputs, texts = reading("choice", CHOICES)
    assert texts == [record.choices[i] for record, i in zip(CHOICES, outputs, strict=True)]
    right = [record.label for record in CHOICES]
    lines = [json.loads(line) for line in output_lines(CHOICES, right).splitlines()]
    assert [answer_of("choice", line) for line in lines] == ["is / cheap | or", "is / it", "city"]
    assert [line["references"] for line in lines] == [["is / cheap | or"], ["is / it"], ["city"]]


def test_tags():
    tags = ("O", "B-x", "I-x")
    records = [TaggedWords("1", ("the", "Blue", "Spice"), tags), TaggedWords("2", ("food",), ("O",))]
    outputs, texts = reading("tagging", records, tags)
    assert [text.split(" ") for text in texts] == outputs
    (line, _) = output_lines(records, [list(record.labels) for record in records]).splitlines()
    assert [answer_of("tagging", json.loads(line))] == json.loads(line)["references"] == ["O B-x I-x"]


def test_spans():
    records = [Question("1", "where is it", CONTEXT, (Answer("riverside", 34),))]
    outputs, texts = reading("spans", records)
    assert texts == outputs and all(text in CONTEXT for text in texts)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_blanks_with_labels(family):
    outputs, texts = said("cloze", cloze(blank_backbone(family)), None, SENTENCES)
    assert texts == outputs and set(texts) <= {"bad", "good"}


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_blanks_with_choices(family):
    outputs, texts = said("cloze", cloze(blank_backbone(family), labels=(), verbalizer=None), None, BLANKS)
    assert texts == [record.choices[i] for record, i in zip(BLANKS, outputs, strict=True)]


def test_ranked_words():
    task = probing(blank_backbone("gpt2"), template="the capital of {subject} is [blank]")
    outputs, texts = said("probing", task, None, [LabelledText("f", "France", "Paris")])
    assert texts == [output["words"][0] for output in outputs]


def test_ranked_labels_of_pictures(tmp_path):
    records = read("image_folder", picture_folder(tmp_path / "some", 2))
    task = ImageClassificationTask(
        tiny_vision("vit"), ImageClassificationSettings(), ("blue", "green", "red")
    )
    prompt = softprompt.visual_prompt_tuning(tiny_vision("vit"), 2, head=task.head).eval()
    outputs, texts = said("image_classification", task, prompt, records)
    assert len(texts) == 6 and set(texts) <= {"blue", "green", "red"}
    for output, text in zip(outputs, texts, strict=True):
        likeliest = output["probabilities"].index(max(output["probabilities"]))
        assert text == output["labels"][likeliest]


@pytest.mark.parametrize(
    ("task", "output"),
    [("generation", 3), ("classification", {"labels": ["a"]}), ("regression", "x"), ("choice", "a"),
     ("choice", 2), ("choice", -1), ("choice", True), ("choice", 0.0), ("tagging", "O"), ("spans", None),
     ("cloze", []), ("cloze", 5), ("probing", {"words": []}), ("probing", {"labels": ["a"]}),
     ("probing", {"words": "word"}), ("image_classification", {"words": ["a"]}),
     ("image_classification", "a")],
)  # fmt: skip
def test_an_output_of_another_form_is_refused(task, output):
    with pytest.raises(ValueError, match=f"no output of task '{task}'"):
        answer_of(task, {"output": output, "choices": ["a", "b"]})
