"""A run whose loss explodes stops with a rate to try, and goes on with another from its last checkpoint."""

import json
import math
import random

import pytest

from softprompt.config import parse_run
from softprompt.errors import TrainingError
from softprompt.training.loop import ExplodedError
from softprompt.training.loop.explosion import LossWatch, rate_to_try
from softprompt.training.run import train
from softprompt.training.run_folder import Checkpoints, RunFolder, State
from support.folders import write_lines
from support.reading import llama
from training.test_loop import Setup
from training.test_multitask_run import TEXTS
from training.test_run import parts, settings  # noqa: F401


def stopped_at(losses, batch_size=16):
    """The step at which a run with these losses is stopped; None where it is not."""
    watch, state = LossWatch(batch_size), State()
    for step, loss in enumerate(losses, start=1):
        watch.see(state, loss)
        if watch.exploded(state):
            return step
    return None


def noisy(n, mean, spread, seed=0, falls=0.0):
    rng = random.Random(seed)
    return [max(0.0, mean * math.exp(-falls * i / n) * rng.lognormvariate(0, spread)) for i in range(n)]


@pytest.mark.parametrize(
    ("losses", "batch_size"),
    [
        (noisy(300, 2.2, 0.1, falls=2), 16),
        (noisy(300, 0.69, 0.4), 16),  # learns nothing
        *[(noisy(500, 2.0, 0.8, seed), 1) for seed in range(20)],  # pairs of any length, one at a time
        (noisy(500, 0.05, 1.0), 4),  # goes on from a trained prompt
        ([1.83, 1.9, 2.1, 2.3, 2.2, 2.0, *noisy(100, 1.5, 0.2, falls=3)], 16),  # rises before it falls
        ([0.7, 0.7, 0.7, 9.0, 9.0, *[0.7] * 20], 16),  # two hard batches
    ],
)
def test_healthy_runs_are_never_stopped(losses, batch_size):
    assert stopped_at(losses, batch_size) is None


def test_measured_runs_are_told_apart(kept_losses):
    """Losses of real runs, see `benchmarks/defaults.py`."""
    for name, losses in kept_losses["healthy"].items():
        assert stopped_at(losses) is None, name
    for name, losses in kept_losses["exploded"].items():
        assert stopped_at(losses, 8) is not None, name


@pytest.fixture
def kept_losses():
    from pathlib import Path

    return json.loads((Path(__file__).parent / "losses.json").read_text(encoding="utf-8"))


def test_a_loss_that_rises_and_stays_is_seen_within_ten_steps():
    assert stopped_at([2.2, 2.2, 2.1, *[9.0] * 30]) in range(8, 12)
    assert stopped_at([2.2, 2.2, 2.1, 3, 4, 5, 6, 8, 12, 14, *[15.0] * 10]) in range(10, 20)


@pytest.mark.parametrize(
    ("rate", "usual", "wanted"),
    [(1e-2, 5e-4, 5e-4), (5e-4, 5e-4, 1e-4), (1e-4, 5e-4, 2e-5), (3.0, None, 0.6)],
)
def test_the_rate_to_try_is_lower(rate, usual, wanted):
    assert rate_to_try(rate, usual)[0] == pytest.approx(wanted)


def exploding(task, after):
    """Make the loss of a task a hundred times larger after some passes."""
    plain, calls = task.loss, []

    def loss(examples):
        calls.append(1)
        return plain(examples) * (100 if len(calls) > after else 1)

    task.loss = loss


def test_no_checkpoint_is_made_of_an_exploded_prompt(tmp_path):
    setup = Setup(tmp_path, steps=60, epochs=None, dev=False, checkpoint_every=1)
    exploding(setup.task, 30)
    with pytest.raises(ExplodedError) as caught:
        setup.loop.run()
    stored = Checkpoints(tmp_path).newest()
    assert stored is not None and stored.step == 30
    message = str(caught.value)
    assert message.startswith("training step 40: got a loss of ") and "(median of 20 steps)" in message
    assert "Lower training.learning_rate: try 0.01, a fifth" in message
    assert message.endswith(f"(the last checkpoint is of step {stored.step}).")


@pytest.fixture
def stopped(tmp_path, parts):  # noqa: F811
    """A run folder whose run stopped, with the error."""
    calls = []

    def hook():
        calls.append(1)
        if len(calls) == 5:
            raise ExplodedError("training step 5", "a loss of 9", "a loss that falls", "try 0.0001")

    parts.hook = hook
    with pytest.raises(ExplodedError):
        train(settings(tmp_path, learning_rate=0.05))
    parts.hook = lambda: None
    return RunFolder(settings(tmp_path).folder)


def test_the_same_settings_are_refused_and_other_rates_go_on(tmp_path, stopped):
    with pytest.raises(TrainingError) as caught:
        train(settings(tmp_path, learning_rate=0.05), resume=True)
    assert "got a run that stopped: training step 5: got a loss of 9" in str(caught.value)
    assert "Resume it with --set training.learning_rate=" in str(caught.value)
    with pytest.raises(TrainingError) as caught:
        train(settings(tmp_path, learning_rate=0.01, batch_size=3), resume=True)
    assert "training.batch_size" in str(caught.value) and "learning_rate" not in str(caught.value)
    result = train(settings(tmp_path, learning_rate=0.01), resume=True)
    assert result.facts["steps"] > 5 and not stopped.exploded.exists()
    assert stopped.stored_training()["learning_rate"] == 0.01


def test_a_real_run_explodes_says_the_rate_of_its_method_and_goes_on_with_it(tmp_path):
    rows = [{"source": text, "target": other} for text, other in zip(TEXTS, reversed(TEXTS), strict=True)]
    raw = {
        "name": "run", "output": str(tmp_path), "method": {"name": "fine_tuning"},
        "data": {"format": "jsonl", "train": write_lines(tmp_path, "pairs.jsonl", rows)},
        "training": {"steps": 30, "batch_size": 8, "checkpoint_every": 5, "learning_rate": 3.0},
    }  # fmt: skip
    with pytest.raises(ExplodedError) as caught:
        train(parse_run(raw), backbone=llama())
    assert "try 0.0001, the default of the method" in str(caught.value)
    with pytest.raises(TrainingError, match="got a run that stopped"):
        train(parse_run(raw), resume=True, backbone=llama())
    raw["training"] |= {"learning_rate": None}
    with pytest.raises(TrainingError, match="got a run that stopped"):  # open is what the run began with
        train(parse_run(raw), resume=True, backbone=llama())
    raw["training"] |= {"learning_rate": 1e-4}
    assert train(parse_run(raw), resume=True, backbone=llama()).facts["steps"] == 30
