"""The same runs on a real local Ray: two workers, and one of them killed half-way."""

import os
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from softprompt.errors import ConfigError
from softprompt.studies.running import executors
from softprompt.studies.running.worker import Outcome
from studies.fakes import WORKER, runs_of


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'softprompt[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where the nodes find what workers do
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
        yield ray
        ray.shutdown()


@pytest.mark.filterwarnings("ignore")  # Ray's own, of several Python versions
def test_a_killed_worker_costs_nothing(ray, tmp_path):
    """A length of 9 waits for its first worker to be killed; the next one finishes it."""
    runs, begun = runs_of(tmp_path, [9, 1, 4, 5]), []
    workers = executors.ray_workers(2, tmp_path / "logs", WORKER)
    waits = runs[0].settings.output / "waits"

    def kill():
        until = time.monotonic() + 60
        while not waits.exists() and time.monotonic() < until:
            time.sleep(0.05)
        pid = int(waits.read_text())
        waits.rename(waits.with_name("killed"))
        os.kill(pid, signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    outcomes = {run.label: outcome.error for run, outcome in executors.pooled(workers, runs, begun.append)}
    killing.join()
    assert outcomes == {run.label: "length 4" if run is runs[2] else "" for run in runs}
    assert sorted(run.label for run in begun) == sorted(run.label for run in runs)
    # two processes were asked for it, and one of them answered
    printed = "".join(log.read_text() for log in (tmp_path / "logs").glob("*.log"))
    assert printed.count('"9--seed-0"') == 1 and printed.count("waits") == 1


@pytest.mark.filterwarnings("ignore")
def test_closing_stops_the_runs_at_a_checkpoint(ray, tmp_path):
    runs = runs_of(tmp_path, [1, 3, 5])
    workers = executors.ray_workers(1, tmp_path / "logs", WORKER)
    with closing(executors.pooled(workers, runs, lambda run: None)) as ended:
        assert next(ended)[0] is runs[0]
        until = time.monotonic() + 30
        while not (runs[1].settings.output / "begun").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
    printed = (tmp_path / "logs" / "worker-1.log").read_text()
    assert '"3--seed-0"' in printed and '"5--seed-0"' not in printed


def test_every_worker_has_a_log_of_its_own(tmp_path, monkeypatch):
    """Two workers are lost at their first attempt, and one of the new ones again."""
    logs, lost = [], {"1--seed-0": 2, "4--seed-0": 1}

    class Lost(Exception):
        pass

    class Call:
        def __init__(self, do):
            self.remote = do

    class Actor:
        def __init__(self, threads, log, work, folder):
            logs.append(log.name)
            self.run = Call(lambda job: [job["name"]])
            self.close = Call(lambda: [None])

    def get(promise):
        (name,) = promise
        if lost.get(name, 0):
            lost[name] -= 1
            raise Lost("the node is gone")
        return Outcome()

    ray = SimpleNamespace(
        is_initialized=lambda: True,
        cluster_resources=lambda: {"CPU": 4},
        remote=lambda **options: lambda kind: SimpleNamespace(remote=Actor),
        get=get,
        kill=lambda actor: None,
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", SimpleNamespace(RayError=Lost))
    runs = runs_of(tmp_path, [1, 4, 5])
    workers = executors.ray_workers(2, tmp_path / "logs", WORKER)
    outcomes = list(executors.pooled(workers, runs, lambda run: None))
    assert sorted(run.label for run, _ in outcomes) == [run.label for run in runs]
    assert not any(outcome.error for _, outcome in outcomes)
    assert sorted(logs) == [f"worker-{i}.log" for i in range(1, 6)]


def test_a_run_whose_worker_is_lost_every_time_is_a_failure(monkeypatch):
    class Lost(Exception):
        pass

    def gone(promise):
        raise Lost("the node is gone")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=gone))
    monkeypatch.setitem(sys.modules, "ray.exceptions", SimpleNamespace(RayError=Lost))
    made = []

    def make():
        made.append(SimpleNamespace(run=SimpleNamespace(remote=lambda job: None)))
        return made[-1]

    outcome = executors.RayWorker(make).run({})
    assert outcome.error == "its worker was lost 3 times; the last time: the node is gone" and len(made) == 3


def test_without_ray_the_engine_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r'pip install "softprompt\[ray\]"'):
        executors.engine_of("ray", 1, None, tmp_path)
