"""Class weights in every loss that has classes: those of plain torch, by the weight of each right label."""

import json

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from softprompt.config import parse_run
from softprompt.data import LabelledText, TaggedWords, load
from softprompt.errors import ConfigError
from softprompt.tasks.mixture import Mixture, PartExample
from softprompt.training.setup.before_loading import RunData
from softprompt.training.setup.components import with_class_weights
from support.blanks import CAUSAL, MASKED, RECORDS, blank_backbone, cloze
from support.prompts import close
from support.reading import bert, prompt_of, task_of

WEIGHTS = {"good": 0.25, "bad": 3.0}
TAGS = ("O", "B-x", "I-x")
SENTENCES = [
    TaggedWords("1", ("the", "Blue", "Spice", "is"), ("O", "B-x", "I-x", "O")),
    TaggedWords("2", ("food", "in"), ("B-x", "O")),
]


def test_of_tags_by_word():
    weights = {"I-x": 5.0, "O": 0.5, "B-x": 2.0}
    plain = task_of(bert(), "tagging", TAGS)
    weighted = task_of(bert(), "tagging", TAGS, class_weights=weights)
    prompt = prompt_of(bert(), plain)
    by_hand = torch.zeros(())
    for record in SENTENCES:
        example = plain.encode(record)
        inputs = {"input_ids": torch.tensor([example.rows[0].ids])}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.no_grad(), bert().prompted(prompt):
            shares = prompt.head(bert().read(inputs), inputs["attention_mask"])[0].log_softmax(-1)  # type: ignore[misc]
        for (_, place), tag in zip(example.facts, record.labels, strict=True):
            by_hand -= weights[tag] * shares[place, TAGS.index(tag)]
    with torch.no_grad(), bert().prompted(prompt):
        close(weighted.loss([weighted.encode(record) for record in SENTENCES]), by_hand)


@pytest.mark.parametrize("family", [*MASKED, *CAUSAL])
def test_of_words_in_a_blank(family):
    backbone = blank_backbone(family)
    plain, weighted = cloze(backbone), cloze(backbone, class_weights=WEIGHTS)
    with torch.no_grad(), backbone.prompted(None):
        losses = plain.losses([plain.encode(record) for record in RECORDS])
        mine = weighted.losses([weighted.encode(record) for record in RECORDS])
        scores = torch.stack(plain.scores([plain.encode(record) for record in RECORDS]))
    right = torch.tensor([("bad", "good").index(str(record.label)) for record in RECORDS])
    rows = torch.nn.functional.cross_entropy(
        scores, right, weight=torch.tensor([3.0, 0.25]), reduction="none"
    )
    close(mine, rows)
    close(mine, losses * torch.tensor([WEIGHTS[str(record.label)] for record in RECORDS]))


def test_parts_of_one_batch_keep_their_own_weights():
    backbone = blank_backbone("bert")
    tasks = {"plain": cloze(backbone), "weighted": cloze(backbone, class_weights=WEIGHTS)}
    examples = [
        PartExample(name, task.encode(record)) for name, task in tasks.items() for record in RECORDS[:2]
    ]
    with torch.no_grad(), backbone.prompted(None):
        together = Mixture(backbone, tasks).losses(examples)
        alone = tasks["plain"].losses([tasks["plain"].encode(record) for record in RECORDS[:2]])
    close(together["plain"], alone.sum())
    close(together["weighted"], 0.25 * alone[0] + 3 * alone[1])


def test_balanced_tags_are_scikit_learns_over_words(tmp_path):
    rows = [{"words": one.words, "tags": one.labels} for one in SENTENCES]
    lines = "\n".join(map(json.dumps, rows))
    (tmp_path / "t.jsonl").write_text(lines, encoding="utf-8")
    raw = {"name": "tagging", "class_weights": "balanced"}
    data = {"train": str(tmp_path / "t.jsonl")}
    settings = parse_run({"task": raw, "data": data, "training": {"steps": 1}})
    made = with_class_weights(settings, RunData(load(settings.data), TAGS))
    words = [tag for one in SENTENCES for tag in one.labels]
    wanted = compute_class_weight("balanced", classes=np.array(TAGS), y=words)
    assert list(made.task.class_weights.values()) == pytest.approx(list(wanted))  # type: ignore[attr-defined]


def test_weights_that_say_nothing_are_refused():
    data, training = {"train": "t.csv"}, {"steps": 1}
    for name in ("choice", "spans", "regression", "generation"):
        raw = {"task": {"name": name, "class_weights": "balanced"}, "data": data, "training": training}
        with pytest.raises(ConfigError, match=r"task\.class_weights: got an unknown setting"):
            parse_run({**raw, "data": {**data, "format": {"choice": "copa"}.get(name, "auto")}})
    with pytest.raises(ConfigError, match=r"task\.class_weights: got 'balanced' without a verbalizer"):
        parse_run(
            {"task": {"name": "cloze", "class_weights": "balanced"}, "data": data, "training": training}
        )
    backbone = blank_backbone("bert")
    task = cloze(backbone, class_weights="balanced")
    with pytest.raises(ConfigError, match="numbers, outside of a run"):
        task.encode(LabelledText("1", "film", "good"))
