"""Numbers far from 0: standardised for the head, given in their own unit."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from softprompt.config import RunSettings, as_stored, parse_run
from softprompt.data import LabelledText
from softprompt.errors import DataError
from softprompt.prompts import load_prompt
from support.prompts import close
from support.reading import bert, bert_model, head_of, prompt_of, task_of
from support.tokenizer import word_piece

YEARS = [1987, 2003, 2011, 1954, 2020, 1999]
TEXTS = ["the mill is cheap", "blue food", "it is in the city", "a restaurant by the river", "food", "is it"]
RECORDS = [
    LabelledText(str(i), text, str(year)) for i, (text, year) in enumerate(zip(TEXTS, YEARS, strict=True))
]


def outputs_of(prompt, records):
    """The head's one output for every record, read alone."""
    found = []
    with torch.no_grad(), bert().prompted(prompt):
        for record in records:
            inputs = bert().tokenizer([record.text], return_tensors="pt")
            found.append(head_of(prompt)(bert().read(dict(inputs)), inputs["attention_mask"])[0, 0])
    return torch.stack(found)


def test_labels_are_standardised_for_the_head_and_answers_turned_back():
    task = task_of(bert(), "regression")
    prompt = prompt_of(bert(), task)
    outputs = outputs_of(prompt, RECORDS)
    task.settle(RECORDS[:4])
    mean, deviation = np.mean(YEARS[:4]), np.std(YEARS[:4])
    assert task.resolved == {"scale": (pytest.approx(mean), pytest.approx(deviation))}
    assert f"mean {mean:g} and standard deviation {deviation:g}" in task.form_note
    targets = torch.tensor((np.array(YEARS) - mean) / deviation, dtype=torch.float32)
    with torch.no_grad(), bert().prompted(prompt):
        loss = task.loss([task.encode(record) for record in RECORDS])
        answers = task.predict(RECORDS)
    close(loss, ((outputs - targets) ** 2).sum())
    assert answers == pytest.approx((mean + deviation * outputs.double().numpy()).tolist(), rel=1e-6)
    rows = task.score(RECORDS, answers, ["rmse", "pearson"])
    by_hand = {
        "rmse": np.sqrt(np.mean((np.array(answers) - YEARS) ** 2)),
        "pearson": 100 * np.corrcoef(answers, YEARS)[0, 1],
    }
    assert rows[0]["values"] == pytest.approx(by_hand)


def test_two_numbers_or_none_are_taken_as_they_are():
    given = task_of(bert(), "regression", scale=(1900.0, 50.0))
    given.settle(RECORDS)
    assert given.resolved == {} and given.form_note == ""
    assert given.encode(RECORDS[0]).labels == ((1987 - 1900) / 50,)
    plain = task_of(bert(), "regression", scale=None)
    plain.settle(RECORDS)
    assert plain.encode(RECORDS[0]).labels == (1987.0,)
    prompt = prompt_of(bert(), plain)
    outputs = outputs_of(prompt, RECORDS).tolist()
    with torch.no_grad(), bert().prompted(prompt):
        assert plain.predict(RECORDS) == pytest.approx(outputs, rel=1e-4)


def test_equal_labels_and_labels_beyond_float32():
    task = task_of(bert(), "regression")
    task.settle(
        [LabelledText("1", "x", "0.1"), LabelledText("2", "y", "0.1"), LabelledText("3", "z", "0.10")]
    )
    assert task.resolved == {"scale": (0.1, 1.0)} and "every training label is 0.1" in task.form_note
    with pytest.raises(DataError, match=r"record 9: got a number that is 1e\+90 for the head, .* float32"):
        task.encode(LabelledText("9", "x", "1e90"))
    huge = [LabelledText(str(i), "x", f"{i}e60") for i in range(5)]
    task.settle(huge)
    assert task.encode(huge[4]).labels == (pytest.approx(2 / math.sqrt(2)),)
    with pytest.raises(DataError, match=r"the label '1e200', expected a number within 1e\+100"):
        task.settle([LabelledText("9", "x", "1e200")])
    plain = task_of(bert(), "regression", scale=None)
    with pytest.raises(DataError, match=r"Leave task\.scale out, which standardises labels"):
        plain.check([LabelledText("9", "x", "1e39")])


def test_a_run_learns_prices_and_its_prompt_keeps_what_turns_answers_back(tmp_path, monkeypatch):
    from softprompt.backbones.load import load_backbone
    from softprompt.training import train

    monkeypatch.chdir(tmp_path)
    bert_model(len(word_piece())).save_pretrained("bert")
    word_piece().save_pretrained("bert")
    prices = [120_000 + 10_000 * (i % 4) for i in range(24)]
    lines = [json.dumps({"text": f"a house {'blue food city mill'.split()[i % 4]} {i}", "label": price})
             for i, price in enumerate(prices)]  # fmt: skip
    Path("train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    Path("test.jsonl").write_text("\n".join(lines[:8]), encoding="utf-8")
    raw: dict[str, Any] = {
        "name": "prices",
        "backbone": {"name": "bert", "device": "cpu"},
        "method": {"name": "p_tuning_v2", "length": 4},
        "data": {"train": "train.jsonl", "test": "test.jsonl"},
        "task": {"name": "regression"},
        "metrics": ["rmse", "pearson"],
        "training": {"steps": 60, "batch_size": 8},
    }
    train(parse_run(raw))
    stored = yaml.safe_load(Path("runs/prices/settings.yaml").read_text(encoding="utf-8"))
    assert stored["task"]["scale"] == pytest.approx([np.mean(prices), np.std(prices)])
    outputs = [
        json.loads(line)["output"]
        for line in Path("runs/prices/outputs.jsonl").read_text(encoding="utf-8").splitlines()
    ]

    def scores_of(run: str) -> dict[str, float]:
        return json.loads(Path(f"runs/{run}/result.json").read_text(encoding="utf-8"))["scores"][0]["values"]

    scores = scores_of("prices")
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean((np.array(outputs) - prices[:8]) ** 2)))
    train(parse_run({**raw, "name": "raw", "task": {"name": "regression", "scale": None}}))
    assert scores["rmse"] < np.std(prices) < 100_000 < scores_of("raw")["rmse"]
    Path("runs/prices/prompt").rename("alone")
    prompt = load_prompt(Path("alone"), load_backbone("bert"))
    answers = prompt.predict([json.loads(line)["text"] for line in lines[:8]])
    assert [answer.output for answer in answers] == pytest.approx(outputs, rel=1e-5)
    # A prompt stored before the setting was has nothing to turn back.
    old = {name: value for name, value in stored.items() if name != "task"}
    old["task"] = {name: value for name, value in stored["task"].items() if name != "scale"}
    assert as_stored(old)["task"]["scale"] is None
    assert RunSettings.model_validate(as_stored(stored)).task.scale == tuple(stored["task"]["scale"])  # type: ignore[attr-defined]
