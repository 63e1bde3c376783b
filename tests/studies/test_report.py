"""The report's texts, from made-up runs."""

import json

import pytest

from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report import summarize, write_summary
from softprompt.studies.results.folders import failure_of
from softprompt.studies.results.study_result import read_results
from studies.fakes import as_markdown, begin, finish, write_study

COMMAND = "softprompt study study.yaml"


@pytest.fixture
def named(tmp_path):
    """Two rows, two columns, two seeds: the last run failed, the one before is not finished."""
    rows = [{"name": "a|b", "set": {"method.length": 1}}, {"name": "c", "set": {"method.length": 2}}]
    columns = [{"name": "x"}, {"name": "y", "set": {"metrics": ["ter", "bleu"]}}]
    study = write_study(
        tmp_path, rows=rows, columns=columns, seeds=[0, 1], set={"training.learning_rate": 0.5}
    )
    grid = load_grid(study)
    *runs, unfinished, failed = grid.runs
    for run, value in zip(runs, [10.0, 20.0, 30.0, 30.0, 12.345, 12.345], strict=True):
        finish(run.settings, {"bleu": value, "ter": 50.0})
    begin(unfinished.settings)
    failure_of(grid, failed).parent.mkdir()
    failure_of(grid, failed).write_text(json.dumps({"error": "loss: got nan\nsecond line", "trace": ""}))
    return read_results(grid)


@pytest.fixture
def varied(tmp_path):
    """An axis of three values in two curves and a reference, of which one cell is not there."""
    columns = [{"name": "up"}, {"name": "down", "set": {"method.layers": "last:1"}}]
    references = [{"name": "level", "set": {"method.length": 50}}]
    vary = {"key": "method.length", "values": [1, 4, 16], "label": "prompt length"}
    grid = load_grid(write_study(tmp_path, vary=vary, columns=columns, seeds=[0, 1], references=references))
    for i, run in enumerate(grid.runs):
        if i not in (2, 3):
            finish(run.settings, {"bleu": 10.0 + i, "ter": 1.0})
    return read_results(grid)


def test_markdown(named):
    lines = as_markdown(named, COMMAND).splitlines()
    assert lines == [
        "# try",
        "",
        "|  | x BLEU | y TER (lower is better) | trained parameters | stored parameters |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| a\\|b | **15.00 ± 7.07** | 50.00 ± 0.00 | 1,000 | 12 |",
        "| c | 12.34 ± 0.00 | failed | 2,000 | 12 |",
        "",
        f"- Command: `{COMMAND}`",
        "- Test scores, mean ± sample standard deviation over the seeds; the best complete cell of a column "
        "is bold",
        "- Recipes: `base.yaml`",
        "- For all: `training.learning_rate=0.5`",
        "- Seeds: 0, 1 (training.seed)",
        "- Runs: 6 of 8 are done",
        "- Training time of all runs together: 6:09",
        "- Hardware: x86_64, 2 cores, 1 threads",
        "- Versions: softprompt 0.1.0, torch 2.6",
        "",
        "Failed:",
        "",
        "- c, y, seed 1: loss: got nan second line",
    ]


def test_json_has_every_run_with_its_facts(named, tmp_path):
    folder = write_summary(named, COMMAND)
    assert folder == tmp_path / "runs" / "try"
    facts = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert (facts["name"], facts["command"], facts["seeds"]) == ("try", COMMAND, [0, 1])
    first = facts["cells"][0]
    assert (first["mean"], first["n"]) == (15.0, 2) and first["std"] == pytest.approx(7.0710678)
    assert first["changes"] == {"training.learning_rate": 0.5, "method.length": 1}
    assert first["higher_is_better"] and not facts["cells"][1]["higher_is_better"]
    run = first["runs"][0]
    assert (run["seed"], run["state"], run["trained_parameters"], run["seconds"]) == (0, "done", 1000, 61.5)
    assert run["versions"] == {"softprompt": "0.1.0", "torch": "2.6"}
    assert facts["cells"][3]["mean"] is None and facts["cells"][3]["runs"][1]["state"] == "failed"
    assert not (folder / "study.png").exists()


def test_a_study_along_an_axis_has_a_picture(varied):
    folder = write_summary(varied, COMMAND)
    picture = (folder / "study.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 5000
    lines = (folder / "study.md").read_text(encoding="utf-8").splitlines()
    assert "![try](study.png)" in lines
    assert lines[2:8] == [
        "| prompt length | up BLEU | down BLEU | trained parameters | stored parameters |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| 1 | 10.50 ± 0.71 | not run | 1,000 | 12 |",
        "| 4 | 14.50 ± 0.71 | 16.50 ± 0.71 | 4,000 | 12 |",
        "| 16 | **18.50 ± 0.71** | **20.50 ± 0.71** | 16,000 | 12 |",
        "| level (reference) | 22.50 ± 0.71 |  | 50,000 | 12 |",
    ]


def test_the_picture_shows_every_mean_band_and_dot(varied):
    (figure,) = summarize(varied, COMMAND).figures.values()
    with figure.drawing.sheet() as sheet:
        (panel,) = sheet.axes
        up, up_dots, down, down_dots, level = panel.lines
        assert list(up.get_ydata()) == [10.5, 14.5, 18.5]
        assert list(up_dots.get_ydata()) == [10.0, 11.0, 14.0, 15.0, 18.0, 19.0]
        assert list(down.get_ydata()) == [16.5, 20.5] and len(down_dots.get_ydata()) == 4
        assert list(level.get_ydata()) == [22.5, 22.5]
        assert [text.get_text() for text in panel.get_xticklabels()] == ["1", "4", "16"]
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("prompt length", "BLEU")
        assert [text.get_text() for text in sheet.legends[0].get_texts()] == ["up", "down", "level"]
        assert len(panel.collections) == 2


def test_nothing_done_is_no_picture_and_an_old_one_goes(tmp_path):
    vary = {"key": "method.length", "values": [1, 4]}
    result = read_results(load_grid(write_study(tmp_path, vary=vary)))
    result.grid.folder.mkdir(parents=True)
    (result.grid.folder / "study.png").write_bytes(b"old")
    write_summary(result, COMMAND)
    assert not (result.grid.folder / "study.png").exists()
    text = as_markdown(result, COMMAND)
    assert "| 1 | not run | - | - |" in text and "one run each" in text and "Hardware" not in text


def test_rows_that_tune_the_backbone_are_named(tmp_path):
    frozen = {"name": "frozen", "set": {"method.length": 1}}
    whole = {"name": "whole", "set": {"method": {"name": "fine_tuning"}}}
    beside = {"name": "beside", "set": {"method.length": 2, "method.tune": "last:1"}}
    result = read_results(load_grid(write_study(tmp_path, rows=[frozen, whole, beside])))
    assert "- The backbone is not frozen in: whole (all), beside (last:1)\n" in as_markdown(result, COMMAND)
