"""softprompt train on a recipe with parts, and what the other commands make of its folders."""

import json
from pathlib import Path

import pytest
import yaml

from softprompt.training import loop
from support.questions import letters
from support.tiny import tiny_model
from training.test_multitask_run import reading


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory) -> Path:
    """A random BERT with its tokenizer, as a folder that transformers loads."""
    folder = tmp_path_factory.mktemp("backbone") / "tiny-bert"
    tiny_model("bert").save_pretrained(folder)
    letters("bert").save_pretrained(folder)
    return folder


@pytest.fixture
def recipe(tmp_path, bert_folder) -> Path:
    settings = {
        "name": "several",
        "output": str(tmp_path / "runs"),
        "prompts": "shared",
        "backbone": {"name": str(bert_folder), "device": "cpu"},
        "method": {"name": "p_tuning_v2", "length": 3},
        "parts": {
            "mood": reading(tmp_path, "mood", 7),
            "size": reading(tmp_path, "size", 3),
        },
        "training": {"steps": 3, "batch_size": 3, "learning_rate": 0.05, "select": "metric"},
    }
    path = tmp_path / "several.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def test_one_table_for_all_parts_and_evaluate_gives_the_same_scores(softprompt, recipe):
    result = softprompt("train", recipe)
    assert result.code == 0
    run = recipe.parent / "runs" / "several"
    assert f"run folder: {run}" in result.out
    facts = json.loads((run / "result.json").read_text(encoding="utf-8"))
    table = [line for line in result.out.splitlines() if line.startswith(("┃", "│"))]
    heads, rows = table[:2], table[2:]
    assert all(
        word in heads[0] + heads[1] for word in ("part", "accuracy", "trained", "stored", "parameters")
    )
    by_part = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
    overall = [cells for cells in by_part if cells[1] == "all"]
    # Of labels there is a row for each too, of numbers there is none.
    assert [cells[1] for cells in by_part if cells not in overall] == ["class no", "class yes"]
    for cells, (name, part) in zip(overall, facts["parts"].items(), strict=True):
        (value,) = part["scores"][0]["values"].values()
        counts = part["counts"]
        assert cells[0] == name
        assert sorted(cells[2:4]) == sorted(["-", f"{value:.2f}"])
        assert cells[4:] == [f"{counts['trained_parameters']:,}", f"{counts['stored_parameters']:,}"]
        again = softprompt("evaluate", run / name)
        assert again.code == 0
        evaluated = json.loads((run / name / "evaluation-test.json").read_text(encoding="utf-8"))
        assert evaluated["scores"] == part["scores"]
    again = softprompt("train", recipe, "--resume")
    assert again.code == 0
    assert [line for line in again.out.splitlines() if line.startswith("│")] == rows


def test_the_folder_of_all_parts_names_them(softprompt, recipe):
    assert softprompt("train", recipe, "--set", "training.steps=1").code == 0
    run = recipe.parent / "runs" / "several"
    result = softprompt("evaluate", run)
    assert result.code != 0
    assert "mood" in result.err and "size" in result.err


def test_interrupted_training_says_how_to_go_on(softprompt, recipe, monkeypatch):
    step = loop.Loop._step

    def interrupted(self, *arguments):
        if self.state.step == 2:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(loop.Loop, "_step", interrupted)
    result = softprompt("train", recipe, "--set", "prompts=separate")
    run = recipe.parent / "runs" / "several"
    assert result.code == 130
    assert f"the checkpoint is in {run / 'checkpoints'}" in result.err
    assert f"go on with: softprompt train {recipe} --set prompts=separate --resume" in result.err
    monkeypatch.undo()
    monkeypatch.setenv("COLUMNS", "200")
    result = softprompt("train", recipe, "--set", "prompts=separate", "--resume")
    assert result.code == 0
    assert "going on from step 2" in result.out


def test_mistakes_are_told_all_at_once_with_their_paths(softprompt, recipe):
    result = softprompt(
        "train", recipe, "--set", "parts.mood.task.lablels=[a, b]", "--set", "parts.size.data.formt=csv"
    )
    assert result.code == 2
    assert "parts.mood.task.lablels: got an unknown setting. Did you mean 'labels'?" in result.err
    assert "parts.size.data.formt: got an unknown setting. Did you mean 'format'?" in result.err
    assert not (recipe.parent / "runs").exists()
