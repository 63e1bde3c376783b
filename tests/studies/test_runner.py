"""Running a study: what is skipped, resumed, refused, kept loaded, and what a failure costs."""

import io
import json
import subprocess
import sys
import time

import pytest
from rich.console import Console

from softprompt.errors import ConfigError, TrainingError
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.results.folders import failure_of
from softprompt.studies.results.study_result import read_results
from softprompt.studies.running import runner as runner_module
from softprompt.studies.running.progress import StudyProgress
from softprompt.studies.running.runner import run_study
from softprompt.studies.running.worker import Outcome
from softprompt.training.run_folder import RunFolder, locked
from studies.fakes import begin, finish, write_study

VARY = {"key": "method.length", "values": [1, 2, 3]}


@pytest.fixture
def grid(tmp_path):
    return load_grid(write_study(tmp_path, vary=VARY, seeds=[0, 1]))


def test_every_run_is_run_once_and_the_next_time_none(grid, fake_run):
    out = io.StringIO()
    run_study(grid, console=Console(file=out, width=200))
    names = [run.settings.name for run in grid.runs]
    assert fake_run.calls == [(name, False) for name in names]
    assert "run 1/6: 1, seed 0\n" in out.getvalue() and "run 6/6: 3, seed 1\n" in out.getvalue()
    assert "there already" not in out.getvalue()
    out = io.StringIO()
    run_study(grid, console=Console(file=out, width=200))
    assert len(fake_run.calls) == 6
    assert out.getvalue() == "6 of 6 runs are there already\n"


def test_finished_runs_are_skipped_and_interrupted_ones_resumed(grid, fake_run):
    runs = list(grid.runs)
    finish(runs[0].settings, {"bleu": 1.0})
    begin(runs[1].settings)
    run_study(grid)
    assert fake_run.calls[0] == (runs[1].settings.name, True)
    assert [resume for _, resume in fake_run.calls] == [True] + [False] * 4


def test_other_settings_in_the_folders_are_refused_before_anything_runs(grid, fake_run):
    runs = list(grid.runs)
    for run in (runs[2], runs[4]):
        other = run.settings.training.model_copy(update={"learning_rate": 0.5})
        finish(run.settings.model_copy(update={"training": other}), {"bleu": 1.0})
    with pytest.raises(TrainingError) as caught:
        run_study(grid)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2 and fake_run.calls == []
    assert lines[0].startswith("2, seed 0: ") and "learning_rate (0.5 there, 0.01 now)" in lines[0]


@pytest.mark.parametrize(
    ("error", "text"),
    [(TrainingError("loss", "nan", "a number"), "loss: got nan, expected a number."),
     (ValueError("odd"), "ValueError: odd")],
)  # fmt: skip
def test_a_failure_is_kept_and_the_others_run(grid, fake_run, error, text):
    failing = list(grid.runs)[1]
    fake_run.fails = {failing.settings.name: error}
    out = io.StringIO()
    run_study(grid, console=Console(file=out, width=200))
    assert len(fake_run.calls) == 6
    kept = json.loads(failure_of(grid, failing).read_text(encoding="utf-8"))
    assert kept["error"] == text
    assert ("Traceback" in kept["trace"]) == isinstance(error, ValueError)
    assert f"1, seed 1: failed: {text}\n" in out.getvalue()
    fake_run.fails = {}
    out = io.StringIO()
    run_study(grid, console=Console(file=out, width=200))
    assert len(fake_run.calls) == 6
    assert (
        "1 failed before and are left out (--retry-failed tries them again):\n  1, seed 1\n" in out.getvalue()
    )
    run_study(grid, retry_failed=True)
    assert fake_run.calls[6:] == [(failing.settings.name, True)]
    assert not failure_of(grid, failing).exists()


def test_an_interruption_stops_the_study_and_is_no_failure(grid, fake_run):
    stopped = list(grid.runs)[1]
    fake_run.fails = {stopped.settings.name: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        run_study(grid)
    assert len(fake_run.calls) == 2 and not failure_of(grid, stopped).exists()


def test_one_backbone_is_kept_for_all_runs_and_each_is_loaded_once(tmp_path, fake_run):
    columns = [{"name": "a", "set": {"backbone.name": "one"}}, {"name": "b", "set": {"backbone.name": "two"}}]
    grid = load_grid(write_study(tmp_path, vary=VARY, columns=columns))
    run_study(grid)
    assert fake_run.loaded == ["one", "two"]
    assert len({id(backbone) for backbone in fake_run.backbones}) == 2
    assert [name.split("--")[1] for name, _ in fake_run.calls] == ["a"] * 3 + ["b"] * 3


@pytest.mark.parametrize("how", ["weights", "thawed", "crashed"])
def test_a_backbone_that_a_run_changed_is_loaded_again(grid, fake_run, how):
    from types import SimpleNamespace

    def change(settings, backbone):
        if settings.name != "1--seed-0":
            return
        if how == "weights":
            backbone.model.weights = "tuned"
        elif how == "thawed":
            backbone.model.parameters = lambda: iter([SimpleNamespace(requires_grad=True)])
        else:
            raise RuntimeError("half a step")

    fake_run.hook = change
    run_study(grid)
    assert len(fake_run.loaded) == 2
    first, *others = fake_run.backbones
    assert all(backbone is others[0] for backbone in others) and others[0] is not first


def test_a_refusal_keeps_the_backbone(grid, fake_run):
    fake_run.fails = {"1--seed-0": TrainingError("loss", "nan", "a number")}
    run_study(grid)
    assert len(fake_run.loaded) == 1


def test_several_processes_of_accelerate_are_refused(grid, fake_run, monkeypatch):
    import softprompt.studies.running.runner as runner
    from softprompt.errors import ConfigError

    class Two:
        count = 2

    monkeypatch.setattr(runner, "Processes", Two)
    with pytest.raises(
        ConfigError, match=r"study: got 2 processes, expected one process\. Use --jobs instead\."
    ):
        run_study(grid)


def test_a_damaged_result_is_a_failed_run_and_on_request_it_goes_on(grid, fake_run):
    run_study(grid)
    whole, damaged = (RunFolder(run.settings.folder) for run in list(grid.runs)[:2])
    first = whole.result.read_bytes()
    damaged.result.write_text('{"name": "1--se', encoding="utf-8")
    result = read_results(grid)
    assert [run.run.label for run in result.failed] == ["1, seed 1"]
    assert "result.json: got invalid JSON" in result.failed[0].error
    run_study(grid)
    assert len(fake_run.calls) == 6
    run_study(grid, retry_failed=True)
    assert fake_run.calls[6:] == [("1--seed-1", True)] and whole.result.read_bytes() == first
    assert (damaged.path / "result.json.failed").read_text(encoding="utf-8") == '{"name": "1--se'
    assert not read_results(grid).failed


@pytest.mark.parametrize(
    ("change", "what"),
    [(lambda facts: facts.pop("scores"), "scores"),
     (lambda facts: facts.update(scores=[{"group": "all"}]), "scores"),
     (lambda facts: facts["scores"][1].update(values={"bleu": "high"}), "scores"),
     (lambda facts: facts["counts"].clear(), "counts"),
     (lambda facts: facts.update(seconds=3), "seconds"),
     (lambda facts: facts.pop("versions"), "versions")],
)  # fmt: skip
def test_a_result_of_another_shape_is_told_of(grid, fake_run, change, what):
    run_study(grid)
    path = RunFolder(next(iter(grid.runs)).settings.folder).result
    facts = json.loads(path.read_text(encoding="utf-8"))
    change(facts)
    path.write_text(json.dumps(facts), encoding="utf-8")
    (failed,) = read_results(grid).failed
    assert (
        f"result.json: got nothing of use as {what}, expected the result that the run wrote at its end"
        in failed.error
    )


def test_what_a_kill_left_of_a_file_is_no_other_run(grid, fake_run):
    folder = next(iter(grid.runs)).settings.folder
    folder.mkdir(parents=True)
    (folder / "asked.yaml").write_text("name: 1--seed-0\n", encoding="utf-8")
    (folder / ".settings.yaml.writing").write_text("name: 1--se", encoding="utf-8")
    run_study(grid)
    assert len(fake_run.calls) == 6


def test_one_process_at_a_time(grid, fake_run):
    with (
        locked(grid.folder / "study", "lock"),
        pytest.raises(
            TrainingError,
            match=r"got another process that runs this study, expected one process at a time\. "
            r"Wait for its end, or give this study another name\.",
        ),
    ):
        run_study(grid)
    assert fake_run.calls == []
    run_study(grid)
    assert len(fake_run.calls) == 6


def test_the_time_left_is_that_of_the_mean_run(grid, fake_run, monkeypatch):
    """Two runs are there, and took 70 s each by their results; the third takes 10 s."""
    import softprompt.studies.running.progress as progress

    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def takes(settings, backbone):
        now[0] += 10

    fake_run.hook = takes
    for run in list(grid.runs)[:2]:
        finish(run.settings, {"bleu": 1.0})
    out = io.StringIO()
    run_study(grid, console=Console(file=out, width=200))
    assert "run 3/6: 2, seed 0 (about 4:40 left)\n" in out.getvalue()  # 4 x 70 s
    assert "run 4/6: 2, seed 1 (about 2:30 left)\n" in out.getvalue()  # 3 x 50 s


def test_several_at_a_time_have_a_bar_on_a_terminal(grid):
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True)
    with StudyProgress(console, grid, jobs=2) as progress:
        for run in list(grid.runs)[:2]:
            progress.begin(run)
        progress.end(next(iter(grid.runs)), Outcome())
    assert "1/6 runs" in out.getvalue()


KILLED = """
import json, sys, time
sys.path[:0] = {path!r}
import softprompt.training
from softprompt.studies.running import execution, runner
from softprompt.studies.reading.grid import load_grid
from softprompt.training.run_folder import RunFolder
from studies.fakes import facts_of

def run(settings, resume=False, console=None, backbone=None):
    with open({log!r}, "a") as file:
        file.write(f"{{settings.name}}\\n")
    folder = RunFolder(settings.folder)
    folder.begin(settings, settings, resume)
    if settings.name == "2--seed-0":
        time.sleep(600)
    folder.result.write_text(json.dumps(facts_of(settings, {{"bleu": 1.0}})))

execution.train = run
softprompt.training.load_frozen = lambda settings, device: None
runner.run_study(load_grid({study!r}))
"""


def test_a_study_that_is_killed_repeats_nothing(grid, tmp_path, fake_run):
    log = tmp_path / "log.txt"
    code = KILLED.format(path=sys.path, log=str(log), study=str(tmp_path / "study.yaml"))
    begun = subprocess.Popen([sys.executable, "-c", code])
    try:
        while not log.exists() or "2--seed-0" not in log.read_text(encoding="utf-8"):
            assert begun.poll() is None
            time.sleep(0.05)
    finally:
        begun.kill()
        begun.wait()
    states = [run.state for run in read_results(grid).runs]
    assert states == ["done", "done", *states[2:3], "not run", "not run", "not run"]
    assert states[2] in ("unfinished", "not run")
    before = [RunFolder(run.settings.folder).result.stat().st_mtime_ns for run in list(grid.runs)[:2]]
    run_study(grid)
    assert log.read_text(encoding="utf-8").split() == ["1--seed-0", "1--seed-1", "2--seed-0"]
    assert [name for name, _ in fake_run.calls] == ["2--seed-0", "2--seed-1", "3--seed-0", "3--seed-1"]
    assert not read_results(grid).failed and len([r for r in read_results(grid).runs if r.value]) == 6
    assert before == [RunFolder(run.settings.folder).result.stat().st_mtime_ns for run in list(grid.runs)[:2]]


def test_how_many_processes_there_are_is_asked_once(grid, fake_run, monkeypatch):
    asked = []

    class Two:
        def __init__(self):
            asked.append(self)
            self.count = 2

    monkeypatch.setattr(runner_module, "Processes", Two)
    with pytest.raises(
        ConfigError, match=r"study: got 2 processes, expected one process\. Use --jobs instead"
    ):
        run_study(grid)
    assert len(asked) == 1 and fake_run.calls == []
