import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from softprompt.cli import study

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
    for name in ("study.json", "study.csv", "study.md", "study.png", "1--seed-0/prompt/prompt.json"):
        assert (folder / name).stat().st_size > 0
    facts = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert [cell["n"] for cell in facts["cells"]] == [1, 1]
    # 2 layers x keys and values x 2 heads x 8 numbers
    assert [cell["runs"][0]["trained_parameters"] for cell in facts["cells"]] == [64, 128]
    assert facts["command"] == f"softprompt study {file.as_posix()}"
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


def test_a_failed_run_is_code_1_and_in_the_table(softprompt, file):
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    raw["vary"]["values"] = [1, 300]  # more than the backbone's 256 positions
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    result = softprompt("study", file)
    assert result.code == 1
    assert "1 of 3 runs failed" in result.err and f"softprompt study {file}" in result.err
    assert "failed: 300, seed 0: " in result.out
    assert softprompt("study", file, "--report-only").code == 0


def test_nothing_to_report(softprompt, file):
    result = softprompt("study", file, "--report-only")
    assert result.code == 1 and "no such folder; expected a study that was run" in result.err
    assert not (file.parent / "runs").exists()


def test_mistakes_are_code_2_and_nothing_is_written(softprompt, file):
    result = softprompt("study", file, "--set", "training.stepz=3")
    assert result.code == 2
    assert "training.stepz: got an unknown setting; did you mean 'steps'?" in result.err
    assert not (file.parent / "runs").exists()


def test_interrupted_says_how_to_go_on(softprompt, file, monkeypatch):
    import softprompt.experiments.execution as execution

    def interrupted(*arguments, **others):
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "run", interrupted)
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
    from softprompt.experiments.grid import load_grid

    grid = load_grid(path)
    assert grid.settings.name == path.stem
    assert len(list(grid.runs)) > 1
