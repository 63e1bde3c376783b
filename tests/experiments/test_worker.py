"""The far end: settings in, outcomes out, and the end of the input as Ctrl-C."""

import io
import json
import signal
import threading
import time

import pytest

from experiments.fakes import write_study
from softprompt.errors import TrainingError
from softprompt.experiments.grid import load_grid
from softprompt.experiments.worker import serve


def settings_of(tmp_path):
    grid = load_grid(write_study(tmp_path, vary={"key": "method.length", "values": [1, 2]}))
    return [run.settings for run in grid.runs]


class Held(io.StringIO):
    """Ends only when it is let go, as the parent's pipe does."""

    def __init__(self, text):
        super().__init__(text)
        self.let_go = threading.Event()

    def __next__(self):
        try:
            return super().__next__()
        except StopIteration:
            self.let_go.wait(10)
            raise


def test_every_job_gets_its_outcome(tmp_path, fake_run):
    first, second = settings_of(tmp_path)
    fake_run.fails = {second.name: TrainingError("loss", "nan", "a number")}
    jobs = Held("".join(json.dumps(s.model_dump(mode="json")) + "\n" for s in (first, second)))

    class Outcomes(io.StringIO):
        def write(self, text):
            if text.count("error") and "nan" in text:
                jobs.let_go.set()
            return super().write(text)

    outcomes = Outcomes()
    serve(jobs, outcomes)
    lines = [json.loads(line) for line in outcomes.getvalue().splitlines()]
    assert [line["error"] for line in lines] == ["", "loss: got nan, expected a number."]
    assert (first.folder / "result.json").is_file()
    assert fake_run.loaded == ["smollm2-135m"]


@pytest.fixture
def heeds_interrupts():
    # Tests that run in a shell's background find the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
def test_the_end_of_the_input_interrupts_a_run(tmp_path, fake_run):
    first, _ = settings_of(tmp_path)
    jobs = Held(json.dumps(first.model_dump(mode="json")) + "\n")
    waited = []

    def long(settings, backbone):
        jobs.let_go.set()
        for _ in range(1000):
            time.sleep(0.01)
        waited.append("to the end")

    fake_run.hook = long
    outcomes = io.StringIO()
    serve(jobs, outcomes)
    assert json.loads(outcomes.getvalue())["interrupted"] is True
    assert waited == [] and not (first.folder / "result.json").exists()
