"""The far end: settings in, outcomes out, and the end of the jobs as Ctrl-C."""

import signal
import threading
import time
from contextlib import closing
from multiprocessing import Pipe

import pytest

from softprompt.errors import TrainingError
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.running.execution import jobs_in_turn
from softprompt.studies.running.worker import serve
from studies.fakes import write_study


def settings_of(tmp_path):
    grid = load_grid(write_study(tmp_path, vary={"key": "method.length", "values": [1, 2]}))
    return [run.settings for run in grid.runs]


@pytest.fixture
def work(fake_run, monkeypatch):
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    return jobs_in_turn()


@pytest.mark.parametrize("how", ["told", "dead"])
def test_every_job_gets_its_outcome(tmp_path, fake_run, work, how):
    first, second = settings_of(tmp_path)
    fake_run.fails = {second.name: TrainingError("loss", "nan", "a number")}
    ours, theirs = Pipe()
    outcomes = []

    def parent():
        for settings in (first, second):
            ours.send(settings.model_dump(mode="json"))
            outcomes.append(ours.recv())
        time.sleep(0.05)  # an idle worker ends by itself, whether it is told to or its parent dies
        ours.send(None) if how == "told" else ours.close()

    asking = threading.Thread(target=parent)
    asking.start()
    with closing(theirs):
        serve(theirs, work)
    asking.join()
    ours.close()
    assert [outcome.error for outcome in outcomes] == ["", "loss: got nan, expected a number."]
    assert (first.folder / "result.json").is_file()
    assert fake_run.loaded == ["smollm2-135m"]


@pytest.fixture
def heeds_interrupts():
    # Tests that run in a shell's background find the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
@pytest.mark.parametrize("how", ["told", "dead"])
def test_the_end_of_the_jobs_interrupts_a_run(tmp_path, fake_run, work, how):
    first, _ = settings_of(tmp_path)
    ours, theirs = Pipe()
    ours.send(first.model_dump(mode="json"))
    waited = []

    def long(settings, backbone):
        ours.send(None) if how == "told" else ours.close()
        for _ in range(1000):
            time.sleep(0.01)
        waited.append("to the end")

    fake_run.hook = long
    with closing(theirs):
        serve(theirs, work)
    if how == "told":
        assert ours.recv().interrupted
    ours.close()
    assert waited == [] and not (first.folder / "result.json").exists()
