"""What tasks with labels leave beside their scores, texts as pictures do."""

import json

import numpy as np
import pytest
import torch

from softprompt.data.records import Choices, LabelledText, TaggedWords
from softprompt.errors import DataError
from softprompt.metrics import by_type, calibration_of
from support.blanks import blank_backbone, cloze
from support.prompts import close
from support.reading import bert, gpt2, head_of, prompt_of, task_of

LABELS = ("no", "yes", "vielleicht")
TEXTS = [
    LabelledText("1", "the mill", "yes"),
    LabelledText("2", "Blue Spice is a Chinese restaurant", "no"),
    LabelledText("3", "food", "vielleicht"),
]
TAGS = ("O", "B-x", "I-x", "B-y")


def test_calibration_is_guos_formula_by_hand():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.3, 1, 500)
    right = rng.uniform(size=500) < sure**2
    bins = np.ceil(sure * 15).astype(int)
    by_hand = sum(
        (bins == k).sum() / 500 * abs(right[bins == k].mean() - sure[bins == k].mean()) for k in set(bins)
    )
    measured = calibration_of(right.tolist(), sure.tolist())
    assert measured["ece"] == pytest.approx(100 * by_hand)
    assert sum(row["answers"] for row in measured["bins"]) == measured["answers"] == 500
    assert calibration_of([True, True], [1.0, 1.0])["ece"] == 0
    assert calibration_of([False], [1.0])["ece"] == 100
    with pytest.raises(DataError, match="a probability from 0 to 1"):
        calibration_of([True], [1.5])


def test_probabilities_are_the_softmax_of_the_heads_outputs():
    backbone, task = gpt2(), task_of(gpt2(), "classification", LABELS)
    prompt = prompt_of(backbone, task)
    with torch.no_grad(), backbone.prompted(prompt):
        outcomes, said = task.outcomes(TEXTS), task.predict(TEXTS)
        for record, outcome in zip(TEXTS, outcomes, strict=True):
            ids = torch.tensor([backbone.token_ids(record.text)])
            mask = torch.ones_like(ids)
            states = backbone.read({"input_ids": ids, "attention_mask": mask})
            shares = head_of(prompt)(states, mask)[0].softmax(-1)
            close(torch.tensor([outcome.probabilities[label] for label in LABELS]), shares)
    assert [outcome.output for outcome in outcomes] == said
    for outcome in outcomes:
        assert list(outcome.probabilities.values()) == sorted(outcome.probabilities.values(), reverse=True)
        assert next(iter(outcome.probabilities)) == outcome.output
        assert outcome.confidence == max(outcome.probabilities.values())


def test_a_run_of_texts_leaves_what_a_run_of_pictures_leaves():
    task = task_of(bert(), "classification", LABELS)
    with torch.no_grad(), bert().prompted(prompt_of(bert(), task)):
        outcomes = task.outcomes(TEXTS)
    files = task.files(TEXTS, outcomes)
    assert set(files) == {
        "confusion.json", "confusion.png", "errors.jsonl", "calibration.json", "reliability.png",
    }  # fmt: skip
    facts = json.loads(files["confusion.json"])
    assert facts["labels"] == list(LABELS)
    for i, label in enumerate(LABELS):
        assert sum(facts["counts"][i]) == facts["classes"][label]["records"] == 1
    wrong = [json.loads(line) for line in str(files["errors.jsonl"]).splitlines()]
    expected = [(r.id, o.confidence) for r, o in zip(TEXTS, outcomes, strict=True) if o.output != r.label]
    assert [line["id"] for line in wrong] == [id_ for id_, _ in sorted(expected, key=lambda pair: -pair[1])]
    assert files["confusion.png"].startswith(b"\x89PNG") and files["reliability.png"].startswith(b"\x89PNG")


def test_choices_have_probabilities_and_no_classes():
    records = [
        Choices("1", "the mill", ("is cheap", "serves food"), 1),
        Choices("2", "food", ("is", "it"), 0),
    ]
    task = task_of(gpt2(), "choice")
    with torch.no_grad(), gpt2().prompted(prompt_of(gpt2(), task)):
        outcomes = task.outcomes(records)
    for outcome in outcomes:
        assert sum(outcome.probabilities) == pytest.approx(1, abs=1e-5)
        assert outcome.confidence == max(outcome.probabilities)
    assert set(task.files(records, outcomes)) == {"errors.jsonl", "calibration.json", "reliability.png"}


def test_words_in_a_blank_have_the_probabilities_of_their_labels():
    task = cloze(blank_backbone("gpt2"))
    records = [LabelledText("1", "the mill", "good"), LabelledText("2", "Blue Spice", "bad")]
    backbone = task.backbone
    with torch.no_grad(), backbone.prompted(None):
        outcomes = task.outcomes(records)
        scores = task.scores([task.encode(record) for record in records])
        assert task.predict(records) == [outcome.output for outcome in outcomes]
    for outcome, row in zip(outcomes, scores, strict=True):
        shares = outcome.probabilities
        assert isinstance(shares, dict)
        close(torch.tensor([shares[label] for label in ("bad", "good")]), row.softmax(-1))
    rows = task.score(records, [outcome.output for outcome in outcomes], ["accuracy"])
    assert [row["group"] for row in rows] == ["all", "class bad", "class good"]
    assert "confusion.json" in task.files(records, outcomes)


def test_tags_are_counted_by_type_and_by_word():
    task = task_of(bert(), "tagging", TAGS)
    records = [
        TaggedWords("1", ("the", "mill", "is"), ("B-x", "I-x", "O")),
        TaggedWords("2", ("food",), ("B-y",)),
    ]
    with torch.no_grad(), bert().prompted(prompt_of(bert(), task)):
        outcomes = task.outcomes(records)
    assert [len(outcome.probabilities) for outcome in outcomes] == [3, 1]
    files = task.files(records, outcomes)
    facts = json.loads(files["confusion.json"])
    assert facts["labels"] == ["O", "x", "y"]
    assert [sum(row) for row in facts["counts"]] == [1, 2, 1]
    assert json.loads(files["calibration.json"])["answers"] == 4


def test_figures_of_types_are_seqevals():
    said, right = [["B-x", "I-x", "O", "B-y"]], [["B-x", "I-x", "O", "B-x"]]
    found = by_type(said, right)
    assert found["x"] == {"precision": 100.0, "recall": 50.0, "f1": pytest.approx(200 / 3), "records": 2}
    assert found["y"]["precision"] == 0 and found["y"]["records"] == 0
    assert by_type([["O"]], [["O"]]) == {}
