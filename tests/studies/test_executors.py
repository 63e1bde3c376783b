"""Runs in processes of their own: shared cores, a process that dies, and stopping."""

import json
import time
from contextlib import closing

import pytest

from softprompt.studies.reading.grid import load_grid
from softprompt.studies.running import executors
from softprompt.studies.running.executors import local_workers, n_cores, pooled
from softprompt.studies.running.runner import run_study
from softprompt.studies.running.worker import Outcome
from studies.fakes import WORKER, runs_of, write_study


def answers(logs):
    lines = [line for log in sorted(logs.glob("*.log")) for line in log.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def errors_of(n, tmp_path, runs, begun=lambda run: None):
    workers = local_workers(n, tmp_path / "logs", WORKER)
    outcomes = {run.label: outcome.error for run, outcome in pooled(workers, runs, begun)}
    return [outcomes[run.label] for run in runs]


def test_two_workers_share_the_runs_and_the_cores(tmp_path):
    runs = runs_of(tmp_path, [1, 5, 6, 7, 8])
    begun = []
    assert errors_of(2, tmp_path, runs, begun.append) == [""] * 5
    assert sorted(run.label for run in begun) == sorted(run.label for run in runs)
    found = answers(tmp_path / "logs")
    assert sorted(line["name"] for line in found) == sorted(run.settings.name for run in runs)
    assert {line["threads"] for line in found} == {str(max(1, n_cores() // 2))}
    assert len({line["pid"] for line in found}) <= 2 < len(found)


def test_a_process_that_dies_costs_its_own_run_only(tmp_path):
    """Also while it answers; each run is run once."""
    runs = runs_of(tmp_path, [1, 2, 4, 11, 5])
    log = tmp_path / "logs" / "worker-1.log"
    ended = f"its process ended with code 9; what it printed is in {log}"
    assert errors_of(1, tmp_path, runs) == ["", ended, "length 4", ended, ""]
    assert "out of memory" in log.read_text()
    assert [line["name"] for line in answers(tmp_path / "logs")] == [
        run.settings.name for run in runs if run is not runs[1]
    ]


def test_closing_stops_the_runs_and_begins_no_more(tmp_path):
    runs = runs_of(tmp_path, [1, 3, 5])
    begun = []
    workers = local_workers(1, tmp_path / "logs", WORKER)
    with closing(pooled(workers, runs, begun.append)) as outcomes:
        assert next(outcomes)[0] is runs[0]
        while not (runs[1].settings.output / "begun").exists():
            time.sleep(0.01)
    assert begun == runs[:2]
    assert [line["name"] for line in answers(tmp_path / "logs")] == [run.settings.name for run in runs[:2]]


def test_a_worker_that_cannot_start_is_a_failure(tmp_path):
    runs = runs_of(tmp_path, [1])
    (tmp_path / "logs").touch()
    (error,) = errors_of(1, tmp_path, runs)
    assert error.startswith("no process could be started: ")


def test_an_interrupted_run_stops_the_study(tmp_path, monkeypatch):
    """The parent raises, so that the command line can say how to go on."""
    grid = load_grid(write_study(tmp_path, vary={"key": "method.length", "values": [1, 5]}))

    def stopped(workers, runs, begun):
        assert len(workers) == 2
        yield runs[0], Outcome(interrupted=True)
        raise AssertionError("asked for more after an interruption")

    monkeypatch.setattr(executors, "pooled", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_study(grid, jobs=8)
