"""Cloze and probing from the command line: train, evaluate, predict and what is refused before training."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.blanks import CAUSAL, MASKED, blank_backbone
from support.folders import result_of

TEXTS = [("a great film", "good"), ("a bad film", "bad"), ("great, good!", "good"), ("it is terrible", "bad")]
FACTS = [("France", "Paris"), ("a man", "good"), ("the film", "great"), ("Blue Spice", "restaurant by")]


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory) -> Path:
    """A folder with a backbone, and files of sentences and of facts."""
    folder = tmp_path_factory.mktemp(family)
    backbone = blank_backbone(family)
    backbone.model.save_pretrained(folder / "backbone")
    backbone.tokenizer.save_pretrained(folder / "backbone")
    for name, n in (("train", 8), ("dev", 4), ("test", 4)):
        lines = [json.dumps({"text": f"{TEXTS[i % 4][0]} {i}", "label": TEXTS[i % 4][1]}) for i in range(n)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "facts").mkdir()
    for relation in ("P36", "P19"):
        lines = [
            json.dumps({"sub_label": f"{FACTS[i % 4][0]} {i}", "obj_label": FACTS[i % 4][1], "uuid": str(i)})
            for i in range(20)
        ]
        (folder / "facts" / f"{relation}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def recipe(folder: Path, name: str, **changes: Any) -> Path:
    settings = {
        "name": name,
        "output": str(folder / "runs"),
        "backbone": {"name": str(folder / "backbone"), "device": "cpu"},
        "data": {
            "format": "labelled_jsonl", **{s: str(folder / f"{s}.jsonl") for s in ("train", "dev", "test")},
        },
        "task": {
            "name": "cloze", "template": "{text} It was [blank]",
            "verbalizer": {"bad": "terrible", "good": ["great", "film"]},
        },
        "metrics": ["accuracy"],
        "training": {"steps": 3, "batch_size": 4, "learning_rate": 0.01},
        **changes,
    }  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


SLOTS = {"template": "{text} [soft*2: film great] [blank]"}
TASK = {"name": "cloze", "verbalizer": {"bad": "terrible", "good": ["great", "film"]}}
WAYS: dict[str, dict[str, Any]] = {
    "p-tuning": {"method": {"name": "p_tuning", **SLOTS}, "task": TASK},
    "p-tuning-mlp": {"method": {"name": "p_tuning", "encoder": "mlp"}, "task": {**TASK, **SLOTS}},
    "null": {"method": {"name": "null_prompt", "template": ["text"], "tune": "bitfit"}, "task": TASK},
    "null-words": {
        "method": {"name": "null_prompt", "tune": "layernorm"},
        "task": {"name": "cloze", "verbalizer": "null", "verbalizer_seed": 3},
    },
    "manual": {"method": {"name": "null_prompt", "tune": "none"}, "training": {"steps": 0}},
    "in-context": {"method": {"name": "in_context", "examples": 3}, "training": {"steps": 0}},
    "prefix": {"method": {"name": "prefix_tuning", "length": 2, "initialization": "random"}},
    "calibration": {"method": {"name": "head_only"}, "task": {**TASK, "head": "calibration"}},
    "soft": {"method": {"name": "null_prompt", "tune": "head"}, "task": {**TASK, "head": "soft"}},
    "all": {"method": {"name": "fine_tuning"}},
}


@pytest.mark.parametrize("way", list(WAYS))
def test_every_way_trains_and_its_folder_says_the_same_again(softprompt, folder, way):
    path = recipe(folder, way, **WAYS[way])
    ended = softprompt("train", path)
    assert ended.code == 0, ended.err
    run = folder / "runs" / way
    result = result_of(run)
    outputs = [json.loads(line)["output"] for line in (run / "outputs.jsonl").read_text().splitlines()]
    assert set(outputs) <= {"bad", "good"} and result["counts"]["left_out_records"] == 0
    again = softprompt("evaluate", run)
    assert again.code == 0, again.err
    assert json.loads((run / "evaluation-test.json").read_text())["scores"] == result["scores"]
    said = softprompt("predict", run / "prompt", f"{TEXTS[1][0]} 1")
    assert said.code == 0, said.err
    assert said.out.strip() == outputs[1]
    card = json.loads((run / "prompt" / "prompt.json").read_text())
    assert "[blank]" in card["template"] == card["task"]["template"]
    if way == "in-context":
        assert result["counts"]["trained_parameters"] == 0
        assert ("a great film" in card["template"] or "It was terrible" in card["template"]) == (
            card["placement"] == "none"
        )
    before = "before:" in (run / "samples.txt").read_text()
    assert before == (way in ("null", "null-words", "manual", "in-context", "prefix", "all"))


def test_a_run_by_a_named_pattern_is_known_again(softprompt, folder):
    named = {"null": "{text} [blank]", "manual": "{text} It was [blank]"}
    path = recipe(folder, "named", task={**TASK, "template": "manual", "patterns": named})
    assert softprompt("train", path).code == 0
    kept = result_of(folder / "runs" / "named")
    again = softprompt("train", path, "--resume")
    assert again.code == 0, again.err
    assert result_of(folder / "runs" / "named") == kept
    # Its resolved settings mean the same run, another pattern another one.
    other = softprompt("train", path, "--resume", "--set", "task.template=null")
    assert other.code != 0 and "task.template" in other.err
    resolved = folder / "runs" / "named" / "settings.yaml"
    assert softprompt("train", resolved, "--resume").code == 0


def test_the_untouched_backbone_is_measured_too(softprompt, folder):
    path = recipe(folder, "bare")
    manual = recipe(folder, "bare-manual", **WAYS["manual"])
    assert softprompt("train", manual).code == 0
    out = folder / "bare-out"
    ended = softprompt("evaluate", "--recipe", path, "--no-prompt", "--output", out)
    assert ended.code == 0, ended.err
    wanted = result_of(folder / "runs" / "bare-manual")["scores"]
    assert json.loads((out / "evaluation-test-no-prompt.json").read_text())["scores"] == wanted


def test_relations_are_trained_at_once_and_outsiders_counted(softprompt, folder, monkeypatch):
    monkeypatch.setenv("SOFTPROMPT_DATA", str(folder))
    settings = {
        "name": "relations", "output": str(folder / "runs"), "prompts": "separate",
        "backbone": {"name": str(folder / "backbone"), "device": "cpu"},
        "method": {"name": "p_tuning"},
        "each": {
            "names": ["P36", "P19"],
            "data": {"format": "trex", "train": "facts/{name}.jsonl", "test_share": 0.4, "dev_share": 0.2},
            "task": {
                "name": "probing", "template": "[soft*2] {subject} [soft] [blank]", "vocabulary": "facts",
            },
            "metrics": ["p_at_1", "p_at_10", "mrr"],
        },
        "training": {"steps": 3, "batch_size": 4, "learning_rate": 0.01},
    }  # fmt: skip
    path = folder / "relations.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    ended = softprompt("train", path)
    assert ended.code == 0, ended.err
    assert "P@10" in ended.out
    run = folder / "runs" / "relations"
    for relation in ("P36", "P19"):
        facts = result_of(run / relation)
        counts = facts["counts"]
        n_asked = counts["train_pairs"] + counts["dev_records"] + counts["test_records"]
        assert (n_asked, counts["left_out_records"]) == (15, 5), "`restaurant by` is more than a token"
        assert set(facts["scores"][0]["values"]) == {"p_at_1", "p_at_10", "mrr"}
        subjects = [
            json.loads(line)["source"] for line in (run / relation / "outputs.jsonl").read_text().splitlines()
        ]
        assert len(subjects) == counts["test_records"]
    said = softprompt("predict", run / "P36" / "prompt", "France 0")
    assert said.code == 0 and set(said.out.lower().split()) == {"paris", "good", "great"}
    manual = {
        **settings,
        "name": "relations-manual",
        "method": {"name": "null_prompt", "tune": "none"},
        "training": {"steps": 0},
    }
    manual["each"] = {
        **settings["each"],
        "task": {"name": "probing", "template": "manual", "vocabulary": "facts"},
    }  # type: ignore[dict-item]
    path.write_text(yaml.safe_dump(manual), encoding="utf-8")
    assert softprompt("train", path).code == 0
    card = json.loads((folder / "runs" / "relations-manual" / "P36" / "prompt" / "prompt.json").read_text())
    assert card["template"].startswith("The capital of {subject} is [blank]")


REFUSED = {
    "a missing field": ({"template": "{other} it was [blank]"}, "no field 'other', expected the template's"),
    "no blank": ({"template": "{text} It was"}, "without \\[blank\\]"),
    "two blanks": ({"template": "[blank] {text} [blank]"}, "2 times"),
    "a label without words": (
        {"verbalizer": {"bad": "terrible", "fine": "great"}},
        "record train.jsonl:1: got the label 'good', expected one of",
    ),
    "one word twice": ({"verbalizer": {"bad": "great", "good": "great"}}, "'bad' has too"),
    "slots that nothing fills": (
        {"template": "{text} [soft] [blank]"},
        "1 slots for a .* prompt that fills 0",
    ),
}


@pytest.mark.parametrize("mistake", list(REFUSED))
def test_mistakes_are_named_before_anything_is_trained(softprompt, folder, mistake):
    changes, message = REFUSED[mistake]
    name = mistake.replace(" ", "-")
    task = {**TASK, "template": "{text} It was [blank]", **changes}
    method = {"name": "prefix_tuning", "length": 2, "initialization": "random"}
    ended = softprompt("train", recipe(folder, name, task=task, method=method))
    assert ended.code != 0
    assert re.search(message, ended.err), ended.err
    assert not (folder / "runs" / name / "prompt").exists()


def test_a_blank_before_text_is_refused_on_a_causal_model(softprompt, folder, family):
    task = {**TASK, "template": "[blank] was {text}"}
    ended = softprompt("train", recipe(folder, "early", task=task, method={"name": "fine_tuning"}))
    assert (ended.code == 0) == (family in MASKED)
    if family in CAUSAL:
        assert "after [blank]" in ended.err and "a causal model reads from left to right" in ended.err


def test_nothing_to_train_needs_no_steps(softprompt, folder):
    ended = softprompt("train", recipe(folder, "idle", method={"name": "null_prompt", "tune": "none"}))
    assert ended.code != 0 and "Set training.steps=0 to measure it" in ended.err


def test_an_encoder_without_a_vocabulary_head_is_refused(softprompt, folder, tiny_encoder):
    path = recipe(folder, "no-words", backbone={"name": str(tiny_encoder), "device": "cpu"})
    ended = softprompt("train", path)
    assert ended.code != 0 and "without a vocabulary head" in ended.err


def test_a_null_prompt_by_its_defaults_fits_a_backbone_without_biases(softprompt, tmp_path, tiny_folder):
    rows = [json.dumps({"text": text, "label": label}) for text, label in TEXTS]
    (tmp_path / "train.jsonl").write_text("\n".join(rows), encoding="utf-8")
    settings = {
        "name": "norms",
        "output": str(tmp_path / "runs"),
        "backbone": {"name": str(tiny_folder), "device": "cpu"},
        "method": {"name": "null_prompt"},
        "data": {"train": str(tmp_path / "train.jsonl")},
        "task": {"name": "cloze", "verbalizer": {"bad": "a", "good": "b"}},
        "training": {"steps": 2},
    }
    (tmp_path / "norms.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    ended = softprompt("train", tmp_path / "norms.yaml")
    assert ended.code == 0, ended.err
    assert (
        "tiny-llama has no biases to train, so that layernorm is trained (method.tune)"
        in ended.out + ended.err
    )
    run = tmp_path / "runs" / "norms"
    assert (
        yaml.safe_load((run / "settings.yaml").read_text(encoding="utf-8"))["method"]["tune"] == "layernorm"
    )
    assert json.loads((run / "prompt" / "prompt.json").read_text(encoding="utf-8"))["tune"] == "layernorm"
    ended = softprompt("train", tmp_path / "norms.yaml", "--resume")
    assert ended.code == 0, ended.err
