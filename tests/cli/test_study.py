import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from softprompt.cli.commands import study
from support.tasks import recipe_of

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "recipes" / "studies").glob("*.yaml"))


@pytest.fixture
def file(recipe) -> Path:
    """A study of two lengths and a reference, each a run of a second."""
    raw = {
        "name": "lengths",
        "output": str(recipe.parent / "runs"),
        "base": recipe.name,
        "set": {"method.initialization": "vocabulary", "training.steps": 1, "metrics": ["ter"]},
        "vary": {"key": "method.length", "values": [1, 2]},
        "references": [{"name": "soft tokens", "set": {"method": {"name": "prompt_tuning", "length": 1}}}],
    }
    path = recipe.parent / "study.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return path


def test_a_study_its_report_and_the_report_again(softprompt, file):
    result = softprompt("study", file)
    assert result.code == 0, result.err
    folder = file.parent / "runs" / "lengths"
    assert "run 3/3: soft tokens (reference), seed 0" in result.out
    assert result.out.count("loading") == 0 and f"study folder: {folder}" in result.out
    assert "TER" in result.out and "soft tokens (reference)" in result.out
    for name in (
        "study.json",
        "study.csv",
        "study.md",
        "study.png",
        "study.parquet",
        "1--seed-0/prompt/prompt.json",
    ):
        assert (folder / name).stat().st_size > 0
    facts = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert [cell["n"] for cell in facts["cells"]] == [1, 1]
    # 2 layers x keys and values x 2 heads x 8 numbers
    assert [cell["runs"][0]["trained_parameters"] for cell in facts["cells"]] == [64, 128]
    assert facts["command"] == f"softprompt study {file.name}"
    before = (folder / "study.md").read_bytes()
    (folder / "study.md").unlink()
    again = softprompt("study", file, "--report-only")
    assert again.code == 0 and "run 1/3" not in again.out
    assert (folder / "study.md").read_bytes() == before


def test_two_jobs_are_two_processes(softprompt, file):
    result = softprompt("study", file, "--jobs", "2", "--output", file.parent / "else")
    folder = file.parent / "else" / "lengths"
    assert result.code == 0, "".join(log.read_text() for log in folder.glob("logs/*.log"))
    assert len(list(folder.glob("logs/worker-*.log"))) == 2
    facts = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert [cell["n"] for cell in (*facts["cells"], *facts["references"])] == [1, 1, 1]


def test_choosing_wins_chance_and_several_metrics(softprompt, tmp_path, tiny_encoder):
    """The few-shot protocol whole, on real runs of a few steps."""
    metrics = ["accuracy", "macro_f1"]
    training = {"steps": 2, "batch_size": 4, "learning_rate": 0.05, "head_learning_rate": 0.1}
    path = recipe_of("single", tmp_path, tiny_encoder, metrics=metrics, training=training)
    base = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows = [{"text": f"the mill number {i}", "label": ("no", "yes", "yes")[i % 3]} for i in range(24)]
    Path(base["data"]["train"]).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    del base["data"]["dev"]
    path.write_text(yaml.safe_dump(base), encoding="utf-8")
    raw = {
        "name": "few",
        "output": str(tmp_path / "runs"),
        "base": path.name,
        "set": {"data.train_per_class": 4, "data.dev_per_class": 2},
        "rows": [{"name": "p-tuning"}, {"name": "head", "set": {"method": {"name": "head_only"}}}],
        "columns": [{"name": "tiny", "show": metrics}],
        "choose": {
            "folds": 2,
            "candidates": [
                {"name": "slow", "set": {"training.weight_decay": 0.1}},
                {"name": "fast", "set": {"training.weight_decay": 0.0}},
            ],
        },
        "seeds": [0, 1],
        "wins": True,
        "chance": True,
        "keep": "results",
    }
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    result = softprompt("study", study)
    folder = tmp_path / "runs" / "few"
    assert result.code == 0, result.out + result.err
    assert "run 12/12: head, tiny, " in result.out
    assert "# wins" in result.out and "chance (majority class)" in result.out
    facts = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    for cell in facts["cells"]:
        choice = cell["choice"]
        means = [candidate["mean"] for candidate in choice["candidates"]]
        winner = ["slow", "fast"][means.index(max(means))]
        assert (choice["chosen"], cell["n"], choice["metric"]) == (winner, 2, "accuracy")
        assert f"--{winner}--seed-0" in cell["runs"][0]["folder"]
        assert set(cell["shown"]) == set(metrics) and cell["changes"]["training.weight_decay"] in (0.0, 0.1)
        for candidate in choice["candidates"]:
            for i, run in enumerate(candidate["runs"]):
                log = (folder / "folds" / run["folder"] / "log.jsonl").read_text(encoding="utf-8")
                last = [json.loads(line) for line in log.splitlines()][-1]
                assert (last["kind"], last["step"]) == ("evaluation", 2)
                assert candidate["scores"][i] == last["accuracy"] and run["scores"] == []
    first = folder / "folds" / "p-tuning--tiny--slow--fold-0" / "result.json"
    counts = json.loads(first.read_text(encoding="utf-8"))["counts"]
    # (4 + 2) of two classes in two folds
    assert (counts["train_pairs"], counts["dev_records"], counts["test_records"]) == (6, 6, 0)
    # the test set has 4 of 6 with the label yes
    assert facts["chance"]["tiny"]["accuracy"] == pytest.approx(100 * 4 / 6)
    assert not list(folder.glob("**/prompt")) and not list(folder.glob("**/checkpoints"))
    again = softprompt("study", study)
    assert again.code == 0 and "12 of 12 runs are there already" in again.out


def test_a_failed_run_is_code_1_and_in_the_table(softprompt, file):
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    raw["vary"]["values"] = [1, 300]  # more than the backbone's 256 positions
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    result = softprompt("study", file)
    assert result.code == 1
    assert "1 of 3 runs failed" in result.err and f"softprompt study {file} --retry-failed" in result.err
    assert "failed: 300, seed 0: " in result.out
    assert softprompt("study", file, "--report-only").code == 0


def test_nothing_to_report(softprompt, file):
    result = softprompt("study", file, "--report-only")
    assert result.code == 1 and "no such folder, expected the folder of a study that was run" in result.err
    assert not (file.parent / "runs").exists()


def test_mistakes_are_code_2_and_nothing_is_written(softprompt, file):
    result = softprompt("study", file, "--set", "training.stepz=3")
    assert result.code == 2
    assert "training.stepz: got an unknown setting. Did you mean 'steps'?" in result.err
    assert not (file.parent / "runs").exists()


def test_what_data_and_backbones_show_is_refused_at_once_before_any_run(softprompt, file, monkeypatch):
    def never(*arguments, **others):
        raise AssertionError("nothing is loaded for a study that is refused")

    monkeypatch.setattr("softprompt.backbones.load_backbone", never)
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    del raw["vary"], raw["references"]
    raw["rows"] = [
        {"name": "right"},
        {"name": "no data", "set": {"data.train": "none.csv"}},
        {"name": "too many", "set": {"data.train_size": 5000}},
        {"name": "no model", "set": {"backbone.name": "./none"}},
        {"name": "no start", "set": {"method.initialization": "prompt:none"}},
        {"name": "no start", "set": {"method.initialization": "prompt:none", "training.steps": 2}},
    ]
    raw["rows"][-1]["name"] = "no start either"
    raw["seeds"] = [0, 1]
    file.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    result = softprompt("study", file)
    assert result.code == 2 and "run 1/" not in result.out
    lines = [line.partition("study.yaml: ")[2] for line in result.err.strip().splitlines()]
    assert sorted(line.partition(": got")[0] for line in lines if line) == [
        "no data: data.train: none.csv", "no model: backbone.name", "no start (and 1 more): none/prompt.json",
        "too many: data.train_size",
    ]  # fmt: skip
    assert not (file.parent / "runs").exists()


def test_runs_that_ended_need_their_data_no_more(softprompt, file):
    assert softprompt("study", file, "--set", "seeds=[0]").code == 0
    for data in file.parent.glob("train.jsonl"):
        data.rename(data.with_suffix(".gone"))
    again = softprompt("study", file, "--set", "seeds=[0]")
    assert again.code == 0 and "3 of 3 runs are there already" in again.out, again.err
    more = softprompt("study", file, "--set", "seeds=[0, 1]")
    assert more.code == 2 and more.err.count("data.train") == 1


def test_interrupted_says_how_to_go_on(softprompt, file, monkeypatch):
    import softprompt.studies.running.execution as execution

    def interrupted(*arguments, **others):
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "train", interrupted)
    result = softprompt("study", file, "--set", "name=x")
    assert result.code == 130
    assert result.err.strip() == f"interrupted; go on with: softprompt study {file} --set name=x"
    assert "not run" in result.out


def test_help_has_the_examples(softprompt):
    result = softprompt("study", "--help")
    flat = re.sub(r"\s+", " ", result.out)
    assert result.code == 0
    assert all(what in flat for what, _ in study.EXAMPLES)


@pytest.mark.parametrize("command", [command for _, command in study.EXAMPLES])
def test_examples_parse_and_name_files_that_are_there(command):
    import typer.main

    from softprompt.cli.app import app

    words = shlex.split(command)
    assert words[:2] == ["softprompt", "study"]
    group: Any = typer.main.get_command(app)
    context = group.commands["study"].make_context("study", words[2:])
    assert (ROOT / context.params["file"]).is_file()


def test_there_are_studies():
    assert len(STUDIES) >= 7


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_run_of_a_ready_study_is_valid(path):
    from softprompt.studies.reading.grid import load_grid

    grid = load_grid(path)
    assert grid.settings.name == path.stem
    assert len([run for cell in grid.all_cells for run in cell.possible]) > 1
