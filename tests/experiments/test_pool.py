"""Runs in processes of their own: shared cores, a process that dies, and stopping."""

import json
import time
from contextlib import closing

import pytest

from experiments.fakes import WORKER, runs_of, write_study
from softprompt.experiments.grid import load_grid
from softprompt.experiments.pool import Pool, n_cores


def answers(logs):
    lines = [line for log in sorted(logs.glob("*.log")) for line in log.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_two_workers_share_the_runs_and_the_cores(tmp_path):
    runs = runs_of(tmp_path, [1, 5, 6, 7, 8])
    begun = []
    pool = Pool(2, tmp_path / "logs", WORKER)
    outcomes = {run.label: outcome for run, outcome in pool.run(runs, begun.append)}
    labels = {run.label for run in runs}
    assert set(outcomes) == labels == {run.label for run in begun}
    assert not any(outcome.error for outcome in outcomes.values())
    found = answers(tmp_path / "logs")
    assert {line["threads"] for line in found} == {str(max(1, n_cores() // 2))}
    assert len({line["pid"] for line in found}) <= 2 < len(found)


def test_a_process_that_dies_costs_its_own_run_only(tmp_path):
    runs = runs_of(tmp_path, [1, 2, 4, 5])
    outcomes = list(Pool(1, tmp_path / "logs", WORKER).run(runs, lambda run: None))
    errors = [outcome.error for _, outcome in outcomes]
    log = tmp_path / "logs" / "worker-1.log"
    assert errors == ["", f"its process ended with code 9; what it printed is in {log}", "length 4", ""]
    assert "out of memory" in log.read_text()


def test_a_process_that_dies_while_it_answers_costs_its_own_run_only(tmp_path):
    runs = runs_of(tmp_path, [1, 11, 5])
    outcomes = list(Pool(1, tmp_path / "logs", WORKER).run(runs, lambda run: None))
    log = tmp_path / "logs" / "worker-1.log"
    ended = f"its process ended with code 9; what it printed is in {log}"
    assert [outcome.error for _, outcome in outcomes] == ["", ended, ""]


def test_closing_stops_the_runs_and_begins_no_more(tmp_path):
    runs = runs_of(tmp_path, [1, 3, 5])
    begun = []
    with closing(Pool(1, tmp_path / "logs", WORKER).run(runs, begun.append)) as outcomes:
        assert next(outcomes)[0] is runs[0]
        while not (runs[1].settings.output / "begun").exists():
            time.sleep(0.01)
    assert begun == runs[:2]
    assert [line["name"] for line in answers(tmp_path / "logs")] == [run.settings.name for run in runs[:2]]


def test_a_worker_that_cannot_start_is_a_failure(tmp_path):
    runs = runs_of(tmp_path, [1])
    ((_, outcome),) = Pool(1, tmp_path / "logs", (str(tmp_path / "none"),)).run(runs, lambda run: None)
    assert outcome.error.startswith("no process could be started: ")


def test_an_interrupted_run_stops_the_study(tmp_path, monkeypatch):
    """The parent raises, so that the command line can say how to go on."""
    import softprompt.experiments.runner as runner
    from softprompt.experiments.execution import Outcome

    grid = load_grid(write_study(tmp_path, vary={"key": "method.length", "values": [1, 5]}))

    class Stopped:
        def __init__(self, n, logs):
            assert (n, logs) == (2, grid.folder / "logs")

        def run(self, runs, begun):
            yield runs[0], Outcome(interrupted=True)
            raise AssertionError("asked for more after an interruption")

    monkeypatch.setattr(runner, "Pool", Stopped)
    with pytest.raises(KeyboardInterrupt):
        runner.run_study(grid, jobs=8)
