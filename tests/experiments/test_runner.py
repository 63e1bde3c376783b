"""Running a study: what is skipped, resumed, refused, kept loaded, and what a failure costs."""

import io
import json

import pytest
from rich.console import Console

from experiments.fakes import begin, finish, write_study
from softprompt.errors import TrainingError
from softprompt.experiments.grid import load_grid
from softprompt.experiments.runner import failure_of, run_study

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
    [(TrainingError("loss", "nan", "a number"), "loss: got nan; expected a number"),
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
    run_study(grid)
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
    import softprompt.experiments.runner as runner
    from softprompt.errors import ConfigError

    class Two:
        count = 2

    monkeypatch.setattr(runner, "Processes", Two)
    with pytest.raises(ConfigError, match="2 processes; expected one process; use --jobs instead"):
        run_study(grid)
