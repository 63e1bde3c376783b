"""The one training loop: an optimizer on the prompt's parameters, the backbone frozen."""

import hashlib
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from softprompt.backbones import gradients_by_hand
from softprompt.config import TrainingSettings
from softprompt.errors import TrainingError
from softprompt.tasks.task import AnyExample, Task
from softprompt.training.batches import parts, plan, share, steps_per_epoch, within
from softprompt.training.checkpoint import Checkpoint, Checkpoints
from softprompt.training.evaluation import better
from softprompt.training.interrupt import Interrupt
from softprompt.training.optimizer import build_optimizer, load_state, state_tensors
from softprompt.training.processes import Processes
from softprompt.training.progress import Counter, RunProgress
from softprompt.training.schedule import check_warmup, learning_rate

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts.prompt import Prompt

Evaluate = Callable[["Prompt", Callable[[], None]], Mapping[str, float]]
"""Measures a prompt on the development set; calls its second argument where it may be stopped."""

Log = Callable[[Mapping[str, Any]], None]
"""Takes one line of the run's log."""


@dataclass
class State:
    """How far a run is, as plain JSON values.

    Args:
        step: optimizer steps done.
        evaluated: step of the last evaluation; -1 before the first.
        best_step: step of the best evaluation; -1 before the first.
        best_value: the selected metric there.
        misses: evaluations since the best.
        seconds: time spent in training steps, over all sittings.
        parts: step and value of each part's best, where parts are judged one by one.
    """

    step: int = 0
    evaluated: int = -1
    best_step: int = -1
    best_value: float | None = None
    misses: int = 0
    seconds: float = 0.0
    parts: dict[str, tuple[int, float]] = field(default_factory=dict)


class Loop:
    """Trains one prompt; the best one on the development set is in the module at the end.

    Random numbers (dropout) depend only on the seed, the step and the process, and batches only on
    the epoch, so that a resumed run equals an uninterrupted one bit for bit without any generator
    state to store.

    Args:
        examples: encoded training pairs.
        evaluate: None where there is no development set; then the last prompt is the result.
    """

    def __init__(
        self,
        backbone: "Backbone",
        task: Task,
        prompt: "Prompt",
        examples: Sequence[AnyExample],
        settings: TrainingSettings,
        checkpoints: Checkpoints,
        processes: Processes,
        evaluate: Evaluate | None = None,
        log: Log = lambda line: None,
        progress: RunProgress | None = None,
    ) -> None:
        self.state = State()
        self.steps_per_epoch = steps_per_epoch(len(examples), settings.batch_size)
        self.n_steps = settings.steps or (settings.epochs or 0) * self.steps_per_epoch
        check_warmup(self.n_steps, settings)
        self._backbone, self._task, self._prompt = backbone, task, prompt
        self._examples, self._settings = examples, settings
        self._checkpoints, self._processes = checkpoints, processes
        self._evaluate, self._log = evaluate, log
        self._progress = progress or RunProgress(None)
        self._evaluate_every = settings.evaluate_every or self.steps_per_epoch
        self._trained = {name: p for name, p in prompt.named_parameters() if p.requires_grad}
        # An optimizer of nothing is refused; a dummy never steps, because there are no steps then.
        groups = self._groups() or [{"params": [nn.Parameter(torch.zeros(0))], "share": 1.0}]
        self._optimizer = build_optimizer(groups, settings, backbone.device)
        self._lengths = [example.length for example in examples]
        self._best: dict[str, Tensor] = {}
        self._saved = -1
        self._epoch_plan: tuple[int, list[list[int]]] = (-1, [])

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same run.

        Raises:
            TrainingError: it was made from other training pairs or another prompt.
        """
        stored = dict(checkpoint.state)
        if stored.pop("examples") != self._fingerprint:
            raise TrainingError(
                "the training pairs",
                "other pairs than the checkpoint was made from",
                "the same files and the same tokenizer",
                "put them back, or train anew in another folder",
            )
        try:
            self._prompt.load_state_dict(dict(checkpoint.tensors["prompt"]))
            load_state(self._optimizer, self._trained, checkpoint.tensors["optimizer"])
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
            TrainingError: the loss or the gradients are no numbers, or the disk is full.
            KeyboardInterrupt: on Ctrl-C or SIGTERM, after saving a checkpoint.
        """
        self._processes.same(list(self._prompt.state_dict().values()))
        devices = [self._backbone.device] if self._backbone.device.type == "cuda" else []
        with torch.random.fork_rng(devices), Interrupt() as interrupt:
            try:
                self._run(interrupt)
            except KeyboardInterrupt:
                if not interrupt.at_once and self._settings.checkpoint_every is not None:
                    self._save()
                raise
        if self._best:
            self._prompt.load_state_dict(self._best)
        return self.state

    @property
    def stopped_early(self) -> bool:
        """Whether patience ran out."""
        return self._settings.patience is not None and self.state.misses >= self._settings.patience

    def _run(self, interrupt: Interrupt) -> None:
        with self._progress.counter("training", self.n_steps, self.state.step) as counter:
            while True:
                self._evaluate_if_due(interrupt)
                over = self.state.step == self.n_steps or self.stopped_early
                every = self._settings.checkpoint_every
                if every is not None and (over or self.state.step % every == 0):
                    self._save()
                if over:
                    return
                with self._training():
                    self._step(interrupt, counter)
                    while not self._pauses:
                        self._step(interrupt, counter)

    @property
    def _pauses(self) -> bool:
        """Whether an evaluation, a checkpoint or the end comes before the next step."""
        step, every = self.state.step, self._settings.checkpoint_every
        evaluates = self._evaluate is not None and step % self._evaluate_every == 0
        return evaluates or (every is not None and step % every == 0) or step == self.n_steps

    @contextmanager
    def _training(self) -> Iterator[None]:
        """The context of steps: the backbone as training wants it, under the prompt."""
        settings = self._settings
        with (
            self._backbone.training_mode(settings.backbone_dropout, settings.gradient_checkpointing),
            gradients_by_hand(),
            self._session(),
        ):
            yield

    def _session(self) -> AbstractContextManager[Any]:
        """The context in which all steps read their examples."""
        return self._backbone.prompted(self._prompt)

    def _step(self, interrupt: Interrupt, counter: Counter) -> None:
        started = time.perf_counter()
        step, settings = self.state.step, self._settings
        batch = self._batch(step)
        rate = learning_rate(step, self.n_steps, settings, self.steps_per_epoch)
        torch.manual_seed(_seed_of(settings.seed, step, self._processes.rank))
        self._prompt.train()
        loss, stop = self._gradients(batch, interrupt)
        if stop:
            self._optimizer.zero_grad(set_to_none=True)
            raise KeyboardInterrupt
        norm = self._clip()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise self._no_number(step + 1, loss, norm, rate)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - started
        self.state.step += 1
        self.state.seconds += seconds
        tokens_per_s = sum(self._lengths[i] for i in batch) / seconds
        self._log(
            {
                "kind": "step",
                "step": self.state.step,
                "epoch": step // self.steps_per_epoch + 1,
                "loss": loss,
                "lr": rate,
                "grad_norm": norm,
                "tokens_per_s": round(tokens_per_s, 1),
                "seconds": round(self.state.seconds, 3),
            }
        )
        counter.add(1, f"loss {loss:.4f}, {tokens_per_s:,.0f} tokens/s")

    def _gradients(self, batch: Sequence[int], interrupt: Interrupt) -> tuple[float, bool]:
        """The mean loss of a target token, and whether to stop; gradients are left in the parameters."""
        trained = list(self._trained.values())
        loss = torch.zeros((), device=self._backbone.device)
        for part, counts in self._turns(batch):
            if interrupt.requested and not self._backbone.sharded:
                break
            with self._prompted(part):
                part_loss, objective = self._objective(part, batch)
                # Only the prompt's parameters ever receive a gradient.
                (objective if counts else 0 * objective).backward(inputs=trained)
            loss += part_loss.detach() if counts else 0
        stop = torch.tensor(float(interrupt.requested), device=self._backbone.device)
        if self._processes.count > 1:
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
            *gradients, loss, stop = self._processes.sum([*gradients, loss, stop])
            for parameter, gradient in zip(trained, gradients, strict=True):
                parameter.grad = gradient.to(parameter.dtype)
        # Per token whatever is minimised, so that it compares with the development loss.
        return float(loss) / sum(self._examples[i].n_targets for i in batch), bool(stop)

    def _turns(self, batch: Sequence[int]) -> list[tuple[list[int], bool]]:
        """This process's passes of a step, and whether each counts.

        Sharded layers are put together by all processes, so one with less to do runs along with the others.
        """
        rank, n = self._processes.rank, self._processes.count
        passes = [(part, True) for part in self._passes(share(batch, rank, n))]
        if not self._backbone.sharded:
            return passes
        most = max(len(self._passes(share(batch, other, n))) for other in range(n))
        shortest = min(batch, key=lambda i: self._lengths[i])
        return passes + [([shortest], False)] * (most - len(passes))

    def _passes(self, mine: Sequence[int]) -> list[list[int]]:
        """What of a step is computed at once."""
        budget = self._settings.max_tokens_per_pass
        if budget is None:
            return parts(mine, self._settings.accumulation)
        return within(mine, self._lengths, budget)

    def _prompted(self, part: Sequence[int]) -> AbstractContextManager[Any]:
        """The context in which these examples are read, where it is not the same for all."""
        return nullcontext()

    def _objective(self, part: Sequence[int], batch: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The summed loss of these examples, and what is minimised: their share in the step's mean."""
        loss = self._task.loss([self._examples[i] for i in part])
        return loss, loss / self._divisor(batch)

    def _divisor(self, batch: Sequence[int]) -> int:
        # The whole step's, so that parts and processes only ever add up.
        if self._settings.loss == "sequence_sum":
            return len(batch)
        return sum(self._examples[i].n_targets for i in batch)

    def _clip(self) -> float:
        """Bound the gradients' norm; returns what it was."""
        limit = math.inf if self._settings.clip_norm is None else self._settings.clip_norm
        return float(nn.utils.clip_grad_norm_(self._trained.values(), limit))

    def _evaluate_if_due(self, interrupt: Interrupt) -> None:
        step = self.state.step
        due = step % self._evaluate_every == 0 or step == self.n_steps
        if self._evaluate is None or not due or self.state.evaluated >= step:
            return
        # With several processes only a step's end is agreed on, so evaluation runs through.
        check = interrupt.check if self._processes.count == 1 else lambda: None
        values = self._evaluate(self._prompt, check)
        best = self._remember(step, values)
        self.state.misses = 0 if best else self.state.misses + 1
        self.state.evaluated = step
        self._log({"kind": "evaluation", "step": step, **values, "best": best})
        self._progress.evaluated(step, values, best)

    def _groups(self) -> list[dict[str, Any]]:
        """The prompt's, the head's and the tuned backbone tensors, and each group's share of the rate."""
        rate = self._settings.learning_rate
        rates = {
            "": None,
            "head": self._settings.head_learning_rate,
            "_weights": self._settings.backbone_learning_rate,
        }
        groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in rates}
        for name, parameter in self._trained.items():
            kind = next((kind for kind in ("head", "_weights") if kind in name.split(".")), "")
            groups[kind].append(parameter)
        return [
            {"params": some, "lr": rate, "share": (rates[kind] or rate) / rate}
            for kind, some in groups.items()
            if some
        ]

    def _remember(self, step: int, values: Mapping[str, float]) -> bool:
        """Keep the tensors if they are the best so far; says whether they are."""
        value = self._number(step, values[self._settings.select])
        best = self._better(value, self.state.best_value)
        if best:
            self._best = {name: t.detach().clone() for name, t in self._prompt.state_dict().items()}
            self.state.best_step, self.state.best_value = step, value
        return best

    def _better(self, value: float, than: float | None) -> bool:
        """Whether a value of the selected metric improves on the best so far (None: nothing yet)."""
        return better(self._settings.select, value, than)

    def _number(self, step: int, value: float) -> float:
        if not math.isfinite(value):
            raise self._no_number(step, value, None, None)
        return value

    def _batch(self, step: int) -> list[int]:
        epoch, index = divmod(step, self.steps_per_epoch)
        if self._epoch_plan[0] != epoch:
            self._epoch_plan = (epoch, plan(self._lengths, self._settings, epoch))
        return self._epoch_plan[1][index]

    def _save(self) -> None:
        if not self._processes.is_main or self._saved == self.state.step:
            return
        optimizer = state_tensors(self._optimizer, self._trained)
        tensors = {"prompt": self._prompt.state_dict(), "optimizer": optimizer, "best": self._best}
        state = {**asdict(self.state), "examples": self._fingerprint}
        self._checkpoints.save(Checkpoint(self.state.step, tensors, state))
        self._saved = self.state.step

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for example in self._examples:
            digest.update(repr(example).encode("utf-8"))
        return digest.hexdigest()

    def _no_number(self, step: int, loss: float, norm: float | None, rate: float | None) -> TrainingError:
        saved = (
            f"the last checkpoint is of step {self._saved}"
            if self._saved >= 0
            else "no checkpoint was made yet"
        )
        what = f"loss {loss}" + (
            f" and gradient norm {norm}" if norm is not None else " on the development set"
        )
        return TrainingError(
            f"training step {step}",
            what + (f" at learning rate {rate:g}" if rate is not None else ""),
            "finite numbers",
            f"lower training.learning_rate, or set backbone.dtype to float32 ({saved})",
        )


def _seed_of(seed: int, step: int, rank: int) -> int:
    return random.Random(f"{seed}/{step}/{rank}").getrandbits(63)
