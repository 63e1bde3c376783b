"""Mistakes of a recipe and its data are refused before a backbone is loaded."""

from pathlib import Path
from typing import Any

import pytest

import softprompt
from softprompt.config import MixtureSettings, parse_run
from softprompt.errors import SoftpromptError
from softprompt.training import train
from support.folders import write_lines


@pytest.fixture(autouse=True)
def no_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softprompt.backbones, "load_backbone", lambda *a, **k: pytest.fail("loaded"))


def recipe(folder: Path, **sections: Any) -> dict[str, Any]:
    rows = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(4)]
    data = {"format": "labelled_jsonl", "train": write_lines(folder, "train.jsonl", rows)}
    sections = {key: data | value if key == "data" else value for key, value in sections.items()}
    return {
        "name": "one", "output": str(folder), "backbone": {"device": "cpu"}, "data": data,
        "task": {"name": "classification"}, "training": {"steps": 1}, **sections,
    }  # fmt: skip


def refused(raw: dict[str, Any]) -> str:
    with pytest.raises(SoftpromptError) as caught:
        train(MixtureSettings.model_validate(raw) if "parts" in raw else parse_run(raw))
    return str(caught.value)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"data": {"train": "no-such-file.jsonl"}}, "no such file"),
        ({"data": {"dev_size": 3}}, "data.dev_size: got 3, expected a path in data.dev to draw from."),
        (
            {"task": {"name": "generation"}, "decoding": {"min_new_tokens": 101, "max_new_tokens": 100}},
            "decoding.min_new_tokens: got 101, expected at most max_new_tokens (100).",
        ),
        ({"data": {"text": "txt"}}, "got no field 'txt'"),
        ({"data": {"train_size": 9}}, "data.train_size: got 9"),
        (
            {"method": {"name": "prompt_tuning", "initialization": "vocabulry"}},
            "method.initialization: got 'vocabulry', expected ",
        ),
        (
            {"method": {"name": "prompt_tuning", "initialization": "examples"}},
            "Write 'examples:k'.",
        ),
        (
            {"method": {"name": "prompt_tuning", "initialization": "prompt: no-such-folder"}},
            "no-such-folder",
        ),
        (
            {"method": {"name": "prompt_tuning", "initialization": "examples:99999999999"}},
            "method.initialization: got 99,999,999,999 examples of 4 training pairs, expected at most 4.",
        ),
    ],
)
def test_of_one_task(tmp_path: Path, sections: dict[str, Any], said: str):
    assert said in refused(recipe(tmp_path, **sections))


def test_a_misspelt_initialization_has_a_hint(tmp_path: Path):
    method = {"name": "prompt_tuning", "initialization": "vocabulry"}
    assert refused(recipe(tmp_path, method=method)).endswith("Did you mean 'vocabulary'?")


def test_a_missing_library_of_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("softprompt.extras._is_installed", lambda name: name != "sklearn")
    raw = recipe(tmp_path, metrics=["f1"])
    raw["data"]["test"] = raw["data"]["train"]
    assert "metric f1: got no module 'sklearn'" in refused(raw)


def test_every_part_of_several(tmp_path: Path):
    whole = recipe(tmp_path)
    part = {"data": whole.pop("data"), "task": whole.pop("task")}
    second = {**part, "data": {**part["data"], "train": "no-such-file.jsonl"}}
    method = {"name": "p_tuning_v2", "length": 2}
    raw = {**whole, "prompts": "shared", "method": method, "parts": {"first": part, "second": second}}
    assert refused(raw).startswith("part second: ")
    third = {**part, "data": {**part["data"], "dev_share": 0.5}}
    raw["parts"] = {"first": part, "third": third}
    assert "parts.first.data: got no development set" in refused(raw)
