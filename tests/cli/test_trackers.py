"""Trackers: what they are told is what the log and the result say, and they change nothing."""

import json
import sys
import time
from pathlib import Path

import pytest

from softprompt.config import load_run
from softprompt.training.run_folder import RunFolder


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard's own reader finds: by name, the value of each step."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {name: {e.step: e.value for e in events.Scalars(name)} for name in events.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TensorBoard's packages among themselves
def test_tensorboard_gets_the_log_and_the_scores(recipe, softprompt):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    runs = recipe.parent / "runs"
    assert softprompt("train", recipe, "--set", "name=quiet").code == 0
    assert not (runs / "quiet" / "tensorboard").exists()
    assert softprompt("train", recipe, "--set", "training.trackers=[tensorboard]").code == 0
    found = scalars(runs / "small")
    lines = [line for line in RunFolder(runs / "small").lines() if line["kind"] == "step"]
    for key in ("loss", "lr", "grad_norm", "tokens_per_s"):
        assert found[f"training/{key}"] == {line["step"]: pytest.approx(line[key]) for line in lines}
    result = json.loads((runs / "small" / "result.json").read_text(encoding="utf-8"))
    scores = result["scores"][0]["values"]
    assert {name: found[f"test/{name}"] for name in scores} == {
        name: {3: pytest.approx(value)} for name, value in scores.items()
    }
    quiet = [line for line in RunFolder(runs / "quiet").lines() if line["kind"] == "step"]
    assert [line["loss"] for line in quiet] == [line["loss"] for line in lines]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_may_be_tracked_from_its_middle_on(recipe, softprompt, monkeypatch):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from softprompt.training.loop import Loop

    step = Loop._step

    def stop(self, interrupt, counter):
        if self.state.step == 2:
            raise KeyboardInterrupt
        return step(self, interrupt, counter)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", stop)
        assert softprompt("train", recipe).code == 130
    assert softprompt("train", recipe, "--resume", "--set", "training.trackers=[tensorboard]").code == 0
    assert list(scalars(recipe.parent / "runs" / "small")["training/loss"]) == [3]


def test_trackers_are_among_those_that_there_are(recipe, softprompt):
    assert load_run(recipe, []).training.trackers == []
    result = softprompt("train", recipe, "--set", "training.trackers=[tensorbord]")
    assert result.code == 2 and "tensorboard" in result.err
    assert not (recipe.parent / "runs").exists()


def test_a_missing_package_is_named_before_anything_is_done(recipe, softprompt, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    result = softprompt("train", recipe, "--set", "training.trackers=[wandb]")
    assert result.code == 2 and 'pip install "softprompt[wandb]"' in result.err.replace("\n", " ")
    assert not (recipe.parent / "runs").exists()


@pytest.mark.filterwarnings("ignore")  # W&B's own
def test_wandb_without_a_network(recipe, softprompt, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'softprompt[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert softprompt("train", recipe, "--set", "training.trackers=[wandb]").code == 0
    written = list((recipe.parent / "runs" / "small" / "wandb").rglob("*.wandb"))
    assert len(written) == 1
    until = time.monotonic() + 30  # a process of W&B's own writes it
    while b"test/bleu" not in written[0].read_bytes() and time.monotonic() < until:
        time.sleep(0.1)
    content = written[0].read_bytes()
    assert b"training/loss" in content and b"test/bleu" in content
