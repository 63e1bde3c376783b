"""JSON that people open shows their own characters, not codes; every reader takes it."""

import json

import softprompt
from softprompt.studies.definition.settings import labelled
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report import write_numbers, write_summary
from softprompt.studies.results.folders import failure_of, read_failure, write_failure
from softprompt.studies.results.study_result import read_results
from studies.fakes import begin, finish, write_study
from support.tiny import tiny_backbone

WORDS = "数据 Größe Привет عربي"


def test_a_study(tmp_path):
    path = write_study(tmp_path, rows=[{"name": f"a {WORDS}"}, {"name": f"b {WORDS}"}], seeds=[0])
    grid = load_grid(path)
    first, second = grid.runs
    finish(first.settings, {"bleu": 1.0})
    write_failure(grid, second, f"data: got {WORDS}", "")
    assert WORDS in failure_of(grid, second).read_text(encoding="utf-8")
    assert read_failure(grid, second) == f"data: got {WORDS}"
    write_numbers(read_results(grid), f"softprompt study {WORDS}.yaml")
    write_summary(read_results(grid), f"softprompt study {WORDS}.yaml")
    written = [file for file in grid.folder.rglob("*.json") if WORDS.encode() in file.read_bytes()]
    assert grid.folder / "study.json" in written
    for file in grid.folder.rglob("*.json"):
        assert "\\u" not in file.read_text(encoding="utf-8"), file.name
        json.loads(file.read_bytes())


def test_values_along_an_axis():
    assert labelled([WORDS])[0] == f"[{WORDS}]"


def test_a_run_whose_loss_exploded(tmp_path):
    (run,) = load_grid(write_study(tmp_path, rows=[{"name": "a"}])).runs
    folder = begin(run.settings)
    folder.explode(WORDS)
    assert json.loads(folder.exploded.read_text(encoding="utf-8")) == {"reason": WORDS}
    assert WORDS in folder.exploded.read_text(encoding="utf-8")


def test_a_prompt(tmp_path):
    backbone = tiny_backbone("llama")
    prompt = softprompt.prefix_tuning(backbone, length=2, initialization="random")
    prompt.describe(task={"labels": [WORDS, "a\u2028b"]})
    prompt.save(tmp_path / "prompt")
    text = (tmp_path / "prompt" / "prompt.json").read_text(encoding="utf-8")
    assert WORDS in text
    again = softprompt.load_prompt(tmp_path / "prompt", backbone)
    assert again.card.task == prompt.card.task
