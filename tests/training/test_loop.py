"""The loop: exact sums, exact resuming, stopping, and what it must not touch."""

import errno
import math
import random
import signal
import time
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from softprompt.config import TrainingSettings
from softprompt.data.records import LabelledText
from softprompt.errors import ConfigError, TrainingError
from softprompt.prompts.methods import METHODS
from softprompt.training.distributed import Processes
from softprompt.training.evaluation import evaluating, mean_loss
from softprompt.training.loop import Loop, Objective, OneTask
from softprompt.training.run_folder import Checkpoints
from softprompt.training.run_folder import checkpoint as checkpoint_module
from support.processes import running
from support.reading import bert, task_of
from training.fakes import FakeBackbone, FakePrompt, FakeTask, records


def settings(**changes):
    return TrainingSettings(
        **{"steps": 11, "batch_size": 4, "checkpoint_every": 3, "learning_rate": 0.05, **changes}
    )


class Setup:
    """One loop over 18 pairs (5 steps an epoch, the last of 2) with a development set of 6."""

    def __init__(self, folder, hook=lambda: None, dev=True, dropout=0.2, evaluate=None, **changes):
        self.backbone: Any = FakeBackbone()
        self.task: Any = FakeTask(self.backbone, hook)
        self.prompt: Any = FakePrompt(dropout=dropout)
        self.examples = [self.task.encode(record) for record in records(18)]
        held_out = [self.task.encode(record) for record in records(6, seed=1)]
        self.log = []
        processes = self.processes = Processes()
        plain: Any = FakeTask(self.backbone)

        def measure(check):
            check()
            loss = mean_loss(self.backbone, plain, self.prompt, held_out, 4, processes, check)
            return {"loss": loss}

        trained = OneTask(self.backbone, self.task, self.prompt)
        self.loop = Loop(
            Objective(trained, self.examples, settings(**changes)),
            Checkpoints(folder),
            processes,
            evaluate=(evaluate or measure) if dev else None,
            log=self.log.append,
        )

    def resume(self, folder):
        self.loop.restore(newest(folder))
        return self.loop.run()

    def tensors(self):
        return {name: tensor.clone() for name, tensor in self.prompt.state_dict().items()}

    def steps(self):
        keys = ("step", "epoch", "loss", "lr", "grad_norm")
        return [[line[key] for key in keys] for line in self.log if line["kind"] == "step"]


def newest(folder):
    """The newest checkpoint, which must be there."""
    found = Checkpoints(folder).newest()
    assert found is not None
    return found


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_lowers_the_loss_and_keeps_the_best(tmp_path):
    setup = Setup(tmp_path, steps=40, schedule="constant")
    state = setup.loop.run()
    evaluations = [line for line in setup.log if line["kind"] == "evaluation"]
    assert [line["step"] for line in evaluations] == [0, 5, 10, 15, 20, 25, 30, 35, 40]
    best = min(evaluations, key=lambda line: line["loss"])
    assert state.best_step == best["step"] and state.best_value == best["loss"]
    assert best["loss"] < 0.9 * evaluations[0]["loss"]
    now = mean_loss(
        setup.backbone,
        setup.task,
        setup.prompt,
        [setup.task.encode(r) for r in records(6, seed=1)],
        6,
        Processes(),
    )
    assert now == pytest.approx(best["loss"])


def test_without_a_development_set_the_last_prompt_is_the_result(tmp_path):
    setup = Setup(tmp_path, dev=False)
    state = setup.loop.run()
    assert state.best_step == -1 and state.evaluated == -1
    assert same(setup.tensors(), newest(tmp_path).tensors["prompt"])


def test_a_loss_without_a_gradient_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeTask, "loss", lambda self, examples: torch.ones(()))
    with pytest.raises(TrainingError, match="the task's loss: got a loss without a gradient"):
        Setup(tmp_path).loop.run()


def test_epochs_count_whole_passes_with_the_last_partial_batch(tmp_path):
    setup = Setup(tmp_path, steps=None, epochs=2)
    assert setup.loop.run().step == 10
    assert [row[1] for row in setup.steps()] == [1] * 5 + [2] * 5


@pytest.mark.parametrize("loss", ["token_mean", "sequence_sum"])
@pytest.mark.parametrize("accumulation", [2, 3, 4])
def test_accumulation_changes_nothing_but_rounding(tmp_path, loss, accumulation):
    whole = Setup(tmp_path / "1", loss=loss, dropout=0)
    whole.loop.run()
    in_parts = Setup(tmp_path / "2", loss=loss, dropout=0, accumulation=accumulation)
    in_parts.loop.run()
    for name, tensor in whole.tensors().items():
        torch.testing.assert_close(in_parts.tensors()[name], tensor, rtol=1e-5, atol=1e-6)
    for one, other in zip(whole.steps(), in_parts.steps(), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("loss", ["token_mean", "sequence_sum"])
@pytest.mark.parametrize("budget", [1, 20, 10_000])
def test_a_budget_of_tokens_changes_nothing_but_rounding(tmp_path, loss, budget):
    whole = Setup(tmp_path / "1", loss=loss, dropout=0)
    whole.loop.run()
    in_passes = Setup(tmp_path / "2", loss=loss, dropout=0, max_tokens_per_pass=budget)
    sizes = []
    stock = in_passes.task.loss
    in_passes.task.loss = lambda examples: sizes.append([e.length for e in examples]) or stock(examples)
    in_passes.loop.run()
    trained = [lengths for lengths in sizes if len(lengths) * max(lengths) > budget]
    assert all(len(lengths) == 1 for lengths in trained)
    for name, tensor in whole.tensors().items():
        torch.testing.assert_close(in_passes.tensors()[name], tensor, rtol=1e-5, atol=1e-6)
    for one, other in zip(whole.steps(), in_passes.steps(), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("loss", ["token_mean", "sequence_sum"])
def test_a_step_is_plain_adamw_on_the_mean_of_the_whole_batch(tmp_path, loss):
    changes = {"loss": loss, "dropout": 0, "steps": 1, "batch_size": 18, "clip_norm": 0.1}
    setup = Setup(tmp_path, accumulation=5, dev=False, weight_decay=0.1, **changes)
    setup.loop.run()
    twin = Setup(tmp_path / "twin", **changes)
    optimizer = torch.optim.AdamW(twin.prompt.parameters(), lr=0.05, weight_decay=0.1)
    with twin.backbone.prompted(twin.prompt):
        total = twin.task.loss(twin.examples)
        n_targets = sum(e.n_targets for e in twin.examples)
        (total / (n_targets if loss == "token_mean" else 18)).backward()
    norm = torch.nn.utils.clip_grad_norm_(twin.prompt.parameters(), 0.1)
    optimizer.step()
    for name, tensor in twin.tensors().items():
        torch.testing.assert_close(setup.tensors()[name], tensor, rtol=1e-5, atol=1e-6)
    assert setup.log[0]["grad_norm"] == pytest.approx(float(norm), rel=1e-5)
    assert setup.log[0]["loss"] == pytest.approx(total.item() / n_targets, rel=1e-5)


def test_frozen_tensors_stay_as_they_are_and_get_no_gradient(tmp_path):
    setup = Setup(tmp_path)
    # Even a backbone that somebody forgot to freeze.
    assert setup.backbone.model.weight.requires_grad
    before = setup.backbone.model.weight.detach().clone()
    setup.loop.run()
    assert torch.equal(setup.backbone.model.weight, before)
    assert setup.backbone.model.weight.grad is None
    assert torch.equal(setup.prompt.fixed, torch.ones(2))
    assert all(parameter.grad is None for parameter in setup.prompt.parameters())


def test_modes_and_the_callers_random_numbers(tmp_path):
    happened = []

    def measure(check):
        happened.append("evaluation")
        return {"loss": 1.0}

    def watched(name, enter):
        @contextmanager
        def watch(*args):
            happened.append(name)
            with enter(*args):
                yield
            happened.append(f"end of {name}")

        return watch

    modes = {"backbone_dropout": True, "gradient_checkpointing": True}
    setup = Setup(tmp_path, hook=lambda: happened.append("step"), evaluate=measure, steps=7, **modes)
    setup.backbone.training_mode = watched("mode", setup.backbone.training_mode)
    setup.backbone.prompted = watched("session", setup.backbone.prompted)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    setup.loop.run()
    assert torch.equal(torch.rand(1), expected)

    def stretch(n):
        return ["mode", "session", *["step"] * n, "end of session", "end of mode"]

    # Checkpoints at 3 and 6, an evaluation at 5 and the end at 7: none of them sees the mode or the session.
    first, second = [*stretch(3), *stretch(2)], [*stretch(1), *stretch(1)]
    assert happened == ["evaluation", *first, "evaluation", *second, "evaluation"]
    assert setup.backbone.modes == [(True, True)] * 4


def test_the_prompts_dropout_is_on_in_steps_only(tmp_path):
    steps, evaluations = [], []

    def measure(check):
        with evaluating(setup.prompt):
            evaluations.append(setup.prompt.training)
        return {"loss": 1.0}

    setup = Setup(tmp_path, hook=lambda: steps.append(setup.prompt.training), evaluate=measure, steps=5)
    setup.prompt.eval()
    setup.loop.run()
    assert (steps, evaluations) == ([True] * 5, [False] * 2)


class Stop:
    """Raises, or sends a signal, at the n-th call of the task's loss."""

    def __init__(self, at, how):
        self.left, self.how = at, how

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            self.how()


def raise_interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["raise", "SIGINT", "SIGTERM"])
@pytest.mark.parametrize("at", [1, 4, 7, 12, 20])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, at, how):
    whole = Setup(tmp_path / "whole", accumulation=2)
    expected = whole.loop.run()
    action = raise_interrupt if how == "raise" else lambda: signal.raise_signal(getattr(signal, how))
    previous = signal.getsignal(signal.SIGTERM)
    stopped = Setup(tmp_path / "cut", hook=Stop(at, action), accumulation=2)
    with pytest.raises(KeyboardInterrupt):
        stopped.loop.run()
    assert signal.getsignal(signal.SIGTERM) is previous
    # Two parts a step: a stop in either part goes back to the last whole step.
    assert stopped.loop.state.step == newest(tmp_path / "cut").step == (at - 1) // 2
    resumed = Setup(tmp_path / "cut", accumulation=2)
    state = resumed.resume(tmp_path / "cut")
    assert same(resumed.tensors(), whole.tensors())
    assert stopped.steps() + resumed.steps() == whole.steps()
    assert (state.best_step, state.best_value) == (expected.best_step, expected.best_value)
    assert (state.step, state.misses) == (expected.step, expected.misses)
    last = newest(tmp_path / "cut").tensors
    for group, tensors in newest(tmp_path / "whole").tensors.items():
        assert same(dict(last[group]), dict(tensors))


def test_ctrl_c_in_an_evaluation_is_resumed_with_that_evaluation(tmp_path):
    whole = Setup(tmp_path / "whole")
    whole.loop.run()
    calls = []

    def measure(check):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
            check()
        return {"loss": 1.0}

    stopped = Setup(tmp_path / "cut", evaluate=measure)
    with pytest.raises(KeyboardInterrupt):
        stopped.loop.run()
    stored = newest(tmp_path / "cut")
    assert (stored.step, stored.state["evaluated"]) == (5, 0)
    resumed = Setup(tmp_path / "cut", evaluate=measure)
    resumed.resume(tmp_path / "cut")
    assert [line["step"] for line in resumed.log if line["kind"] == "evaluation"] == [5, 10, 11]
    assert stopped.steps() + resumed.steps() == whole.steps()


def test_a_second_ctrl_c_stops_at_once_and_saves_nothing_half_done(tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    setup = Setup(tmp_path, hook=Stop(5, twice))
    with pytest.raises(KeyboardInterrupt):
        setup.loop.run()
    assert setup.loop.state.step == 4
    assert newest(tmp_path).step == 3


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path, value):
    setup = Setup(tmp_path)
    plain, calls = setup.task.loss, []

    def broken(examples):
        calls.append(1)
        return plain(examples) * (value if len(calls) == 5 else 1)

    setup.task.loss = broken
    with pytest.raises(TrainingError) as caught:
        setup.loop.run()
    message = str(caught.value)
    assert message.startswith(
        f"training step 5: got loss {value} and gradient norm nan at learning rate 0.0318"
    )
    assert "expected finite numbers. Lower training.learning_rate" in message
    assert message.endswith("(the last checkpoint is of step 3).")
    stored = newest(tmp_path)
    assert stored.step == 3
    assert all(torch.isfinite(tensor).all() for tensor in stored.tensors["prompt"].values())


def test_a_development_loss_that_is_no_number_stops_too(tmp_path):
    setup = Setup(tmp_path, evaluate=lambda check: {"loss": math.nan})
    with pytest.raises(
        TrainingError, match=r"training step 0: got loss nan on the development set, expected .*no checkpoint"
    ):
        setup.loop.run()


def test_patience_stops_and_gives_the_best(tmp_path):
    values = iter([5.0, 4.0, 4.5, 4.0, 1.0])
    seen = []

    def measure(check):
        seen.append(setup.tensors())
        return {"loss": next(values)}

    setup = Setup(tmp_path, evaluate=measure, evaluate_every=2, patience=2)
    state = setup.loop.run()
    assert (state.step, state.best_step, state.best_value, state.misses) == (6, 2, 4.0, 2)
    assert setup.loop.stopped_early
    assert same(setup.tensors(), seen[1])
    # Resuming a run that stopped early goes no further and gives the same.
    again = Setup(tmp_path, evaluate=measure, evaluate_every=2, patience=2)
    assert again.resume(tmp_path).step == 6
    assert same(again.tensors(), seen[1])


@pytest.mark.parametrize(("select", "best"), [("bleu", 4), ("ter", 2)])
def test_the_selected_metric_knows_its_direction(tmp_path, select, best):
    values = iter([5.0, 4.0, 7.0, 6.0])
    setup = Setup(
        tmp_path,
        evaluate=lambda check: {"loss": 1.0, select: next(values)},
        evaluate_every=2,
        steps=6,
        select=select,
    )
    assert setup.loop.run().best_step == best


def test_a_full_disk_stops_and_the_last_good_checkpoint_resumes_exactly(tmp_path, monkeypatch):
    whole = Setup(tmp_path / "whole")
    whole.loop.run()
    write = checkpoint_module.write_synced

    def full(path, content):
        if "00000006" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(checkpoint_module, "write_synced", full)
    setup = Setup(tmp_path / "cut")
    with pytest.raises(TrainingError, match="got a full disk") as caught:
        setup.loop.run()
    assert str(tmp_path / "cut" / "step-00000003") in str(caught.value)
    monkeypatch.undo()
    resumed = Setup(tmp_path / "cut")
    resumed.resume(tmp_path / "cut")
    assert same(resumed.tensors(), whole.tensors())


def test_other_training_pairs_or_another_prompt_are_refused(tmp_path):
    Setup(tmp_path, steps=3).loop.run()
    other = Setup(tmp_path)
    other.examples.pop()
    with pytest.raises(
        TrainingError, match="the training pairs: got other pairs than those of the checkpoint"
    ):
        other.resume(tmp_path)
    wider = Setup(tmp_path)
    wider.prompt.vectors = torch.nn.Parameter(torch.zeros(4, 4))
    with pytest.raises(
        TrainingError, match=r"the checkpoint's tensors: got tensors that do not fit the prompt"
    ):
        wider.resume(tmp_path)


def test_a_warmup_longer_than_the_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"training\.warmup_steps: got 11"):
        Setup(tmp_path, warmup_steps=11)


def test_a_killed_process_resumes_exactly(tmp_path):
    """SIGKILL at a random moment, twice, then to the end."""
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("this system has no SIGKILL")
    script = (
        "import sys, time, pathlib\n"
        "from training.test_loop import Setup\n"
        "from softprompt.training.run_folder.checkpoint import Checkpoints\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "setup = Setup(folder, hook=lambda: time.sleep(0.01), steps=60, checkpoint_every=1)\n"
        "checkpoint = Checkpoints(folder).newest()\n"
        "if checkpoint is not None: setup.loop.restore(checkpoint)\n"
        "channel.send('ready')\n"
        "setup.loop.run()\n"
    )
    reached = []
    for _ in range(2):
        with running(script, tmp_path / "cut") as training:
            assert training.channel.recv() == "ready"
            time.sleep(random.uniform(0.05, 0.4))
        # The end of the context is a SIGKILL.
        there = Checkpoints(tmp_path / "cut").newest()
        reached.append(there.step if there is not None else 0)
    assert reached == sorted(reached)
    assert reached[0] < 60
    whole = Setup(tmp_path / "whole", steps=60, checkpoint_every=1)
    whole.loop.run()
    resumed = Setup(tmp_path / "cut", steps=60, checkpoint_every=1)
    there = Checkpoints(tmp_path / "cut").newest()
    if there is not None:
        resumed.loop.restore(there)
    resumed.loop.run()
    assert same(resumed.tensors(), whole.tensors())


class Reader:
    """A loop that trains a prompt and its head on a tiny BERT: 10 pairs, 3 steps an epoch."""

    def __init__(self, folder, method="p_tuning_v2", stop_at=None, **changes):
        self.backbone = bert()
        self.task = task_of(self.backbone, "classification", ("no", "yes"), head_dropout=0.2)
        options: dict[str, Any] = {"length": 3, "dropout": 0.1} if method == "p_tuning_v2" else {}
        self.prompt = METHODS[method](self.backbone, head=self.task.head, seed=1, **options)
        pairs = [LabelledText(str(i), "the mill is cheap"[: 5 + i], ("no", "yes")[i % 2]) for i in range(10)]
        self.log: list[Any] = []
        if stop_at is not None:
            loss, stop = self.task.loss, Stop(stop_at, raise_interrupt)
            self.task.loss = lambda examples: stop() or loss(examples)
        given = settings(**{"steps": 8, "checkpoint_every": 2, **changes})
        examples = [self.task.encode(pair) for pair in pairs]
        self.loop = Loop(
            Objective(OneTask(self.backbone, self.task, self.prompt), examples, given),
            Checkpoints(folder),
            Processes(),
            log=self.log.append,
        )

    def tensors(self):
        return {name: tensor.clone() for name, tensor in self.prompt.state_dict().items()}

    def moved(self, before):
        """How far the head and the rest have gone at most."""
        far = {name: float((tensor - before[name]).abs().max()) for name, tensor in self.tensors().items()}
        head = [value for name, value in far.items() if name.startswith("head.")]
        rest = [value for name, value in far.items() if not name.startswith("head.")]
        return max(head), max(rest)


@pytest.mark.parametrize(("head_rate", "expected"), [(None, 0.05), (0.002, 0.002), (0.4, 0.4)])
def test_the_head_has_a_learning_rate_of_its_own(tmp_path, head_rate, expected):
    # The first step of AdamW is the learning rate itself wherever there is a gradient.
    reader = Reader(tmp_path, steps=1, head_learning_rate=head_rate, clip_norm=None)
    before = reader.tensors()
    reader.loop.run()
    head, rest = reader.moved(before)
    assert head == pytest.approx(expected, rel=1e-2)
    assert rest == pytest.approx(0.05, rel=1e-2)
    assert reader.log[0]["lr"] == 0.05


def test_both_rates_follow_the_schedule(tmp_path):
    reader = Reader(
        tmp_path, steps=2, head_learning_rate=0.005, warmup_steps=1, schedule="exponential", decay=0.5
    )
    reader.loop.run()
    rates = [(group["lr"], group["share"]) for group in reader.loop._optimizer.param_groups]
    assert rates == [pytest.approx((0.05, 1.0)), pytest.approx((0.005, 0.1))]
    longer = Reader(tmp_path / "2", steps=8, head_learning_rate=0.005, schedule="exponential", decay=0.5)
    longer.loop.run()
    assert [line["lr"] for line in longer.log if line["kind"] == "step"] == pytest.approx(
        [0.05] * 3 + [0.025] * 3 + [0.0125] * 2
    )
    assert [group["lr"] for group in longer.loop._optimizer.param_groups] == pytest.approx([0.0125, 0.00125])


def test_a_head_alone_is_one_group_and_no_other_parameter(tmp_path):
    reader = Reader(tmp_path, "head_only", head_learning_rate=0.01, steps=1)
    before = reader.tensors()
    reader.loop.run()
    assert len(reader.loop._optimizer.param_groups) == 1
    moved = max(float((tensor - before[name]).abs().max()) for name, tensor in reader.tensors().items())
    assert moved == pytest.approx(0.01, rel=1e-2)


def test_sgd_is_the_sum_by_hand(tmp_path):
    """Velocity 0.8 v + (gradient + decay x value); the value moves by the rate of its group times it."""
    changes: dict[str, Any] = {
        "optimizer": "sgd", "momentum": 0.8, "weight_decay": 0.1, "schedule": "constant", "clip_norm": None,
        "head_learning_rate": 0.01, "learning_rate": 0.05, "steps": 3,
    }  # fmt: skip
    reader = Reader(tmp_path, "p_tuning_v2", **changes)
    trained = {name: p for name, p in reader.prompt.named_parameters() if p.requires_grad}
    values = {name: p.detach().clone().double() for name, p in trained.items()}
    velocities = {name: torch.zeros_like(value) for name, value in values.items()}
    optimizer: Any = reader.loop._optimizer
    step = optimizer.step

    def by_hand(*args):
        for name, p in trained.items():
            velocities[name] = 0.8 * velocities[name] + p.grad.double() + 0.1 * values[name]
            values[name] = values[name] - (0.01 if "head" in name else 0.05) * velocities[name]
        return step(*args)

    optimizer.step = by_hand
    reader.loop.run()
    kept = newest(tmp_path).tensors
    for name, value in values.items():
        assert torch.allclose(kept["prompt"][name].double(), value, atol=1e-6)
        assert torch.allclose(
            kept["optimizer"][f"{name}/momentum_buffer"], velocities[name].float(), atol=1e-5
        )


@pytest.mark.parametrize(("before", "after"), [("adamw", "sgd"), ("sgd", "adamw")])
def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path, before, after):
    Setup(tmp_path, optimizer=before).loop.run()
    with pytest.raises(TrainingError, match=r"got tensors that do not fit the prompt \('"):
        Setup(tmp_path, optimizer=after).resume(tmp_path)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_resumed_sgd_equals_uninterrupted(tmp_path, momentum):
    sgd: dict[str, Any] = {"optimizer": "sgd", "momentum": momentum, "weight_decay": 0.01}
    whole = Setup(tmp_path / "whole", **sgd)
    whole.loop.run()
    stopped = Setup(tmp_path / "cut", hook=Stop(7, raise_interrupt), **sgd)
    with pytest.raises(KeyboardInterrupt):
        stopped.loop.run()
    resumed = Setup(tmp_path / "cut", **sgd)
    resumed.resume(tmp_path / "cut")
    assert same(resumed.tensors(), whole.tensors())


def test_momentum_without_sgd_is_refused():
    with pytest.raises(ValueError, match=r"momentum: got 0\.5 with optimizer 'adamw'"):
        settings(momentum=0.5)


@pytest.mark.parametrize("method", ["p_tuning_v2", "fine_tuning", "head_only", "adapter", "lora"])
@pytest.mark.parametrize("at", [3, 8, 13])
def test_with_a_head_resumed_equals_uninterrupted_too(tmp_path, method, at):
    if method == "lora":
        pytest.importorskip("peft")
    changes: dict[str, Any] = {
        "accumulation": 2, "head_learning_rate": 0.01, "schedule": "exponential", "weight_decay": 0.01,
    }  # fmt: skip
    whole = Reader(tmp_path / "whole", method, **changes)
    begun = whole.tensors()
    whole.loop.run()
    stopped = Reader(tmp_path / "cut", method, stop_at=at, **changes)
    with pytest.raises(KeyboardInterrupt):
        stopped.loop.run()
    resumed = Reader(tmp_path / "cut", method, **changes)
    resumed.loop.restore(newest(tmp_path / "cut"))
    resumed.loop.run()
    assert same(resumed.tensors(), whole.tensors())
    last, expected = newest(tmp_path / "cut").tensors, newest(tmp_path / "whole").tensors
    assert same(dict(last["optimizer"]), dict(expected["optimizer"]))
    moved = {name for name, tensor in whole.tensors().items() if not torch.equal(tensor, begun[name])}
    if method == "fine_tuning":
        # No gradient ever comes to what the head does not read: no step, no decay, nothing kept for it.
        names = {f"_weights.{i}": name for i, name in enumerate(whole.prompt.card.weights)}
        still = {names[name] for name in begun if name not in moved}
        assert still == {"pooler.dense.weight", "pooler.dense.bias"}
        kept = {name.rpartition("/")[0] for name in expected["optimizer"]}
        assert kept == moved
    else:
        assert moved == set(begun)
