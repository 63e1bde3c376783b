"""Aggregation on made-up facts, and the states of runs."""

import json

import pytest

from softprompt.errors import TrainingError
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report import shown_cell
from softprompt.studies.results.folders import failure_of
from softprompt.studies.results.study_result import read_results
from studies.fakes import begin, finish, write_study

ROWS = [{"name": name, "set": {"method.length": length}} for name, length in (("a", 1), ("b", 2), ("c", 3))]


def results(tmp_path, values, metric="bleu", **study):
    """A study whose runs have ended with these values, row by row and seed by seed."""
    study = {"rows": ROWS, "seeds": [0, 1, 2], **study}
    grid = load_grid(write_study(tmp_path, metric=metric, **study))
    for run, value in zip(grid.runs, values, strict=True):
        if value is not None:
            finish(run.settings, {metric: value})
    return read_results(grid)


def test_mean_and_sample_standard_deviation(tmp_path):
    result = results(tmp_path, [1.0, 2.0, 6.0, 5.0, 5.0, 5.0, 7.0, None, None])
    a, b, c = result.cells
    assert (a.mean, b.mean, c.mean) == (3.0, 5.0, 7.0)
    # the square root of (4 + 1 + 9) / 2
    assert [shown_cell(cell) for cell in result.cells] == [
        "3.00 ± 2.65", "5.00 ± 0.00", "7.00 (1 of 3, not run)"
    ]  # fmt: skip
    assert (a.complete, c.complete) == (True, False)
    assert c.state == "not run"
    assert a.count("trained_parameters") == [1000]


def test_the_best_is_among_the_complete_and_knows_which_way_is_up(tmp_path):
    result = results(tmp_path, [1.0, 2.0, 6.0, 5.0, 5.0, 5.0, 7.0, None, None])
    assert [result.is_best(cell) for cell in result.cells] == [False, True, False]
    (tmp_path / "ter").mkdir()
    result = results(tmp_path / "ter", [1.0, 2.0, 6.0, 5.0, 5.0, 5.0, 7.0, 7.0, 7.0], "ter")
    assert [result.is_best(cell) for cell in result.cells] == [True, False, False]


def test_equal_as_far_as_shown_is_equally_good_and_one_alone_is_no_best(tmp_path):
    result = results(tmp_path, [5.001, 5.0, 5.0] + [5.0] * 3 + [4.0] * 3)
    assert [result.is_best(cell) for cell in result.cells] == [True, True, False]
    (tmp_path / "one").mkdir()
    result = results(tmp_path / "one", [5.0] * 3 + [None] * 6)
    assert not any(result.is_best(cell) for cell in result.cells)


def test_states(tmp_path):
    grid = load_grid(write_study(tmp_path, rows=ROWS, columns=[{"name": "x"}, {"name": "y"}]))
    runs = list(grid.runs)
    finish(runs[0].settings, {"bleu": 1.0})
    begin(runs[1].settings)
    begin(runs[2].settings)
    failure_of(grid, runs[2]).parent.mkdir()
    failure_of(grid, runs[2]).write_text(json.dumps({"error": "loss: got nan", "trace": ""}))
    finish(runs[3].settings, {}, ["bleu needs a runtime"])
    result = read_results(grid)
    states = [run.state for run in result.runs]
    assert states == ["done", "unfinished", "failed", "failed", "not run", "not run"]
    assert [run.error for run in result.failed] == [
        "loss: got nan", "it has no bleu on the test set: bleu needs a runtime",
    ]  # fmt: skip
    assert result.at("a", "y").state == "unfinished"


def test_a_run_without_a_test_set_is_told_of(tmp_path):
    grid = load_grid(write_study(tmp_path, rows=ROWS[:1]))
    folder = finish(next(grid.runs).settings, {})
    facts = {**json.loads(folder.result.read_text()), "scores": []}
    folder.result.write_text(json.dumps(facts))
    assert read_results(grid).failed[0].error == "it has no bleu on the test set: no test set"


def test_folders_of_other_runs_are_not_reported(tmp_path):
    grid = load_grid(write_study(tmp_path, rows=ROWS))
    other = load_grid(write_study(tmp_path, rows=ROWS), ["training.steps=99"])
    finish(next(other.runs).settings, {"bleu": 1.0})
    with pytest.raises(TrainingError, match=r"a, seed 0: .*training.steps \(99 there, 10 now\)"):
        read_results(grid)
