"""The one training loop: an optimizer on the prompt's parameters, the backbone frozen."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones import gradients_by_hand
from softprompt.errors import TrainingError
from softprompt.training.distributed import Processes
from softprompt.training.loop.explosion import ExplodedError, LossWatch, rate_to_try
from softprompt.training.loop.interrupt import Interrupt
from softprompt.training.loop.objective import Objective
from softprompt.training.loop.optimization import (
    build_optimizer,
    load_state,
    parameter_groups,
    state_tensors,
)
from softprompt.training.loop.schedule import check_warmup, learning_rate, n_steps, passes
from softprompt.training.progress import Counter, RunProgress
from softprompt.training.run_folder import Checkpoint, Checkpoints, State, fingerprint

Evaluate = Callable[[Callable[[], None]], Mapping[str, float]]
"""Measures the prompt on the development set; calls its argument wherever it may be interrupted."""

_DTYPE = ", or set backbone.dtype to float32"

Log = Callable[[Mapping[str, Any]], None]
"""Takes one line of the run's log."""


class Loop:
    """Trains to the last step, or until patience runs out, and keeps the best prompt on the development set.

    Random numbers (dropout) depend only on the seed, the step and the process, and batches only on
    the epoch, so that a resumed run equals an uninterrupted one bit for bit without any generator
    state to store.

    Args:
        objective: what is trained, on which examples, and the loss.
        checkpoints: where checkpoints are written.
        processes: that train together.
        evaluate: None where there is no development set; then the last prompt is the result.
        log: called with every step and evaluation.
        progress: shows the steps.
        usual_rate: the method's default learning rate, which a run that exploded is told to try.
    """

    def __init__(
        self,
        objective: Objective,
        checkpoints: Checkpoints,
        processes: Processes,
        evaluate: Evaluate | None = None,
        log: Log = lambda line: None,
        progress: RunProgress | None = None,
        usual_rate: float | None = None,
    ) -> None:
        self.state = State()
        settings = objective.settings
        self.n_steps = n_steps(settings, objective.steps_per_epoch)
        check_warmup(self.n_steps, settings)
        self._objective, self._settings = objective, settings
        self._backbone, self._module = objective.trained.backbone, objective.trained.module
        self._checkpoints, self._processes = checkpoints, processes
        self._evaluate, self._log = evaluate, log
        self._progress = progress or RunProgress(None)
        self._usual_rate, self._watch = usual_rate, LossWatch(settings.batch_size)
        groups = parameter_groups(objective.parameters, settings)
        self._optimizer = build_optimizer(groups, settings, self._backbone.device)
        self._best: dict[str, Tensor] = {}
        self._saved = -1

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of the same run.

        Raises:
            TrainingError: it was made from other training pairs or another prompt.
        """
        stored = dict(checkpoint.state)
        if stored.pop("examples") != self._fingerprint:
            raise TrainingError(
                "the training pairs",
                "other pairs than those of the checkpoint",
                "the same files and the same tokenizer",
                "put them back, or train anew in another folder",
            )
        try:
            self._module.load_state_dict(dict(checkpoint.tensors["prompt"]))
            load_state(self._optimizer, self._objective.parameters, checkpoint.tensors["optimizer"])
        except (RuntimeError, KeyError) as error:
            raise TrainingError(
                "the checkpoint's tensors",
                f"tensors that do not fit the prompt ({error})",
                "tensors of the same method and backbone",
                "train anew in another folder",
            ) from None
        self._best = {name: t.to(self._backbone.device) for name, t in checkpoint.tensors["best"].items()}
        self.state = State(**stored)
        self._saved = self.state.step

    def run(self) -> State:
        """Train to the end, or until patience runs out.

        Raises:
            ExplodedError: the loss exploded, or the loss or the gradients are no numbers.
            TrainingError: the disk is full.
            KeyboardInterrupt: on Ctrl-C or SIGTERM, after saving a checkpoint.
        """
        self._processes.same(list(self._module.state_dict().values()))
        devices = [self._backbone.device] if self._backbone.device.type == "cuda" else []
        with torch.random.fork_rng(devices), Interrupt() as interrupt:
            try:
                self._run(interrupt)
            except KeyboardInterrupt:
                if not interrupt.at_once and self._settings.checkpoint_every is not None:
                    self._save()
                raise
        if self._best:
            self._module.load_state_dict(self._best)
        return self.state

    @property
    def stopped_early(self) -> bool:
        """Whether patience ran out."""
        return self._objective.stopped_early(self.state)

    def _run(self, interrupt: Interrupt) -> None:
        settings, every = self._settings, self._settings.checkpoint_every
        with self._progress.counter("training", self.n_steps, self.state.step) as counter:
            while True:
                self._evaluate_if_due(interrupt)
                over = self.state.step == self.n_steps or self.stopped_early
                due = self.state.step % (every or 1) == 0 and not self._watch.rises(self.state)
                if every is not None and (over or due):
                    self._save()
                if over:
                    return
                with (
                    self._backbone.training_mode(settings.backbone_dropout, settings.gradient_checkpointing),
                    gradients_by_hand(),
                    self._objective.trained.throughout(),
                ):
                    self._watched(*self._step(interrupt, counter))
                    while not self._pauses:
                        self._watched(*self._step(interrupt, counter))

    @property
    def _pauses(self) -> bool:
        """Whether an evaluation, a checkpoint or the end comes before the next step."""
        step, every = self.state.step, self._settings.checkpoint_every
        evaluates = self._evaluate is not None and step % self._objective.evaluate_every == 0
        return evaluates or (every is not None and step % every == 0) or step == self.n_steps

    def _watched(self, loss: float, rate: float) -> None:
        """Look at the loss of the step that was made at a rate; raises ExplodedError."""
        self._watch.see(self.state, loss)
        if self._watch.exploded(self.state):
            raise self._exploded(f"step {self.state.step}", self._watch.said(self.state, rate))

    def _step(self, interrupt: Interrupt, counter: Counter) -> tuple[float, float]:
        """One step; returns its loss and its learning rate."""
        started = time.perf_counter()
        step, settings, steps_per_epoch = self.state.step, self._settings, self._objective.steps_per_epoch
        batch = self._objective.batch(self.state)
        rate = learning_rate(step, self.n_steps, settings, steps_per_epoch)
        torch.manual_seed(_seed_of(settings.seed, step, self._processes.rank))
        self._module.train()
        loss, stop = self._gradients(batch, interrupt)
        if stop:
            self._optimizer.zero_grad(set_to_none=True)
            raise KeyboardInterrupt
        self._objective.rest(batch)
        norm = self._objective.clip(step + 1)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            got = f"loss {loss} and gradient norm {norm} at learning rate {rate:g}"
            raise self._exploded(f"step {step + 1}", got)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - started
        self.state.step += 1
        self.state.seconds += seconds
        # A clock that is coarse, or stood still while a machine was paused, gives no rate.
        tokens_per_s = sum(self._objective.lengths[i] for i in batch) / seconds if seconds > 0 else 0.0
        self._log(
            {
                "kind": "step",
                "step": self.state.step,
                "epoch": step // steps_per_epoch + 1,
                "loss": loss,
                "lr": rate,
                "grad_norm": norm,
                "tokens_per_s": round(tokens_per_s, 1),
                "seconds": round(self.state.seconds, 3),
            }
        )
        counter.add(1, f"loss {loss:.4f}, {tokens_per_s:,.0f} tokens/s")
        return loss, rate

    def _gradients(self, batch: Sequence[int], interrupt: Interrupt) -> tuple[float, bool]:
        """The mean loss of a target token, and whether to stop; gradients are left in the parameters."""
        objective, processes, sharded = self._objective, self._processes, self._backbone.sharded
        parameters = list(objective.parameters.values())
        loss = torch.zeros((), device=self._backbone.device)
        # All processes take part in every pass of sharded layers.
        for some, counts in passes(
            batch, objective.lengths, self._settings, processes.rank, processes.count, together=sharded
        ):
            if interrupt.requested and not sharded:
                break
            with objective.prompted(some):
                own_loss, minimised = objective.losses(some, batch)
                if not minimised.requires_grad:
                    got, expected = "a loss without a gradient", "one that depends on the prompt"
                    raise TrainingError(
                        "the task's loss", got, expected, "compute it without detach or no_grad"
                    )
                # No other parameter receives a gradient.
                (minimised if counts else 0 * minimised).backward(inputs=parameters)
            loss += own_loss.detach() if counts else 0
        stop = torch.tensor(float(interrupt.requested), device=self._backbone.device)
        if processes.count > 1:
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            *gradients, loss, stop = processes.sum([*gradients, loss, stop])
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.to(parameter.dtype)
        # Per token under any training.loss, so that it compares with the development loss.
        return float(loss) / sum(objective.examples[i].n_targets for i in batch), bool(stop)

    def _evaluate_if_due(self, interrupt: Interrupt) -> None:
        step, state = self.state.step, self.state
        due = step % self._objective.evaluate_every == 0 or step == self.n_steps
        if self._evaluate is None or not due or state.evaluated >= step:
            return
        # Several processes agree on a stop only at the end of a step, so an evaluation is not interrupted.
        values = self._evaluate(interrupt.check if self._processes.count == 1 else lambda: None)
        for value in self._objective.selected(state, values).values():
            if not math.isfinite(value):
                raise self._exploded(f"step {step}", f"loss {value} on the development set")
        best = self._objective.judge(state, values)
        self._best |= best or {}
        state.misses = state.misses + 1 if best is None else 0
        state.evaluated = step
        self._log({"kind": "evaluation", "step": step, **values, "best": best is not None})
        self._progress.evaluated(step, values, best is not None)

    def _save(self) -> None:
        if not self._processes.is_main or self._saved == self.state.step:
            return
        optimizer = state_tensors(self._optimizer, self._objective.parameters)
        tensors = {"prompt": self._module.state_dict(), "optimizer": optimizer, "best": self._best}
        state = {**asdict(self.state), "examples": self._fingerprint}
        self._checkpoints.save(Checkpoint(self.state.step, tensors, state))
        self._saved = self.state.step

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self._objective.examples)

    def _exploded(self, where: str, got: str) -> ExplodedError:
        rate, why = rate_to_try(self._settings.rate, self._usual_rate)
        last = f"the last checkpoint is of step {self._saved}"
        saved = "no checkpoint was made yet" if self._saved < 0 else last
        rose = self._watch.exploded(self.state)
        expected, dtype = ("a loss that falls", "") if rose else ("finite numbers", _DTYPE)
        do = f"lower training.learning_rate: try {rate:g}, {why}{dtype} ({saved})"
        return ExplodedError(f"training {where}", got, expected, do)


def _seed_of(seed: int, step: int, rank: int) -> int:
    return random.Random(f"{seed}/{step}/{rank}").getrandbits(63)
