"""Several prompts, or several heads on one prompt, trained in the same batches."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from softprompt.errors import TrainingError
from softprompt.tasks.mixture import Mixture, PartExample
from softprompt.training.batches import plan, steps_per_epoch
from softprompt.training.interrupt import Interrupt
from softprompt.training.loop import Loop

if TYPE_CHECKING:
    from softprompt.prompts.prompt import Prompt


class PromptSet(nn.Module):
    """Prompts by the name of their part; they may share parameters.

    Args:
        prompts: at least one.
    """

    def __init__(self, prompts: Mapping[str, "Prompt"]):
        super().__init__()
        self._index = {name: i for i, name in enumerate(prompts)}
        # A list, because a ModuleDict takes no part named `keys`.
        self.prompts = nn.ModuleList(prompts.values())
        owners = Counter(id(p) for prompt in prompts.values() for p in prompt.parameters())
        self.own = {
            name: [p for p in prompt.parameters() if p.requires_grad and owners[id(p)] == 1]
            for name, prompt in prompts.items()
        }
        """The trained parameters that one part alone has."""

    def __getitem__(self, name: str) -> "Prompt":
        return self.prompts[self._index[name]]  # type: ignore[return-value]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def tensors_of(self, name: str) -> str:
        """How the names of a part's tensors begin in the state of the set."""
        return f"prompts.{self._index[name]}."


class SharedLoop(Loop):
    """One prompt with a head for each part, trained on the mixture of their examples.

    Source: P-Tuning v2 (2110.07602) §3.2, multi-task learning: the prompt is shared, each task has its own
    linear classifier. With one part it is plain training. `select` judges the mean over the parts. The head
    of a part that a batch has no example of rests in that step.
    """

    _prompt: PromptSet  # type: ignore[assignment]
    _task: Mixture  # type: ignore[assignment]
    _examples: Sequence[PartExample]  # type: ignore[assignment]

    def _session(self) -> AbstractContextManager[Any]:
        # Which prompts are active depends on the examples.
        return nullcontext()

    def _prompted(self, part: Sequence[int]) -> AbstractContextManager[Any]:
        examples = [self._examples[i] for i in part]
        prompts = [self._prompt[name] for name in self._task.present(examples)]
        if len(prompts) == 1:
            return self._backbone.prompted(prompts[0])
        return self._backbone.prompted(prompts, rows=self._task.rows(examples))

    def _objective(self, part: Sequence[int], batch: Sequence[int]) -> tuple[Tensor, Tensor]:
        losses = self._task.losses([self._examples[i] for i in part])
        total = torch.stack(list(losses.values())).sum()
        return total, total / self._divisor(batch)

    def _gradients(self, batch: Sequence[int], interrupt: Interrupt) -> tuple[float, bool]:
        found = super()._gradients(batch, interrupt)
        there = self._task.present([self._examples[i] for i in batch])
        for name in self._prompt:
            if name not in there:
                # Of several processes each fills in zeros, which would still let the optimizer move them.
                for parameter in self._prompt.own[name]:
                    parameter.grad = None
        return found

    def _better(self, value: float, than: float | None) -> bool:
        if than is None:
            return True
        return value > than if self._settings.select == "metric" else value < than


class SeparateLoop(SharedLoop):
    """A prompt of its own for each part, all trained at once: each as though alone.

    Source: Prefix-Tuning (2101.00190) §8.1, batching across users. Every part has its own batches, its own
    mean loss, its own gradient norm, its own best step and its own patience; only the pass over the frozen
    backbone is shared. What differs from training alone: the random draws of dropout, and that all are
    evaluated at the same steps (by default after each epoch of the largest part).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._mine = {
            name: [i for i, example in enumerate(self._examples) if example.part == name]
            for name in self._prompt
        }
        largest = max(len(places) for places in self._mine.values())
        self.steps_per_epoch = steps_per_epoch(largest, self._settings.batch_size)
        self._evaluate_every = self._settings.evaluate_every or self.steps_per_epoch
        self._plans: dict[str, tuple[int, list[list[int]]]] = {}

    @property
    def stopped_early(self) -> bool:
        """Whether patience ran out for every part."""
        return all(self._stopped(name) for name in self._prompt)

    def _stopped(self, name: str) -> bool:
        """Whether a part's patience ran out, so that it only waits for the others."""
        patience, best = self._settings.patience, self.state.parts.get(name)
        if patience is None or best is None:
            return False
        return self._n_evaluations(self.state.evaluated) - self._n_evaluations(best[0]) >= patience

    def _n_evaluations(self, step: int) -> int:
        """Evaluations up to a step at which there is one, the first left out."""
        return -(-step // self._evaluate_every)

    def _batch(self, step: int) -> list[int]:
        batch: list[int] = []
        for name, places in self._mine.items():
            if self._stopped(name):
                continue
            epoch, index = divmod(step, steps_per_epoch(len(places), self._settings.batch_size))
            if self._plans.get(name, (-1, []))[0] != epoch:
                lengths = [self._lengths[i] for i in places]
                self._plans[name] = (epoch, plan(lengths, self._settings, epoch))
            batch += [places[i] for i in self._plans[name][1][index]]
        return batch

    def _objective(self, part: Sequence[int], batch: Sequence[int]) -> tuple[Tensor, Tensor]:
        losses = self._task.losses([self._examples[i] for i in part])
        shares: dict[str, list[int]] = defaultdict(list)
        for i in batch:
            shares[self._examples[i].part].append(i)
        means = [loss / self._divisor(shares[name]) for name, loss in losses.items()]
        return torch.stack(list(losses.values())).sum(), torch.stack(means).sum()

    def _clip(self) -> float:
        """Bound each part's norm; returns the largest."""
        limit = math.inf if self._settings.clip_norm is None else self._settings.clip_norm
        largest = 0.0
        for name in self._prompt:
            norm = float(nn.utils.clip_grad_norm_(self._prompt.own[name], limit))
            if not math.isfinite(norm):
                raise TrainingError(
                    f"training step {self.state.step + 1}, part {name}",
                    f"gradient norm {norm}",
                    "finite numbers",
                    "lower training.learning_rate, or train that part alone",
                )
            largest = max(largest, norm)
        return largest

    def _remember(self, step: int, values: Mapping[str, float]) -> bool:
        state = self._prompt.state_dict()
        any_better = False
        for name in self._prompt:
            before = self.state.parts.get(name)
            if self._stopped(name):
                continue
            value = self._number(step, values[f"{name}.{self._settings.select}"])
            if not self._better(value, None if before is None else before[1]):
                continue
            any_better = True
            self.state.parts[name] = (step, value)
            begin = self._prompt.tensors_of(name)
            self._best |= {key: t.detach().clone() for key, t in state.items() if key.startswith(begin)}
        if any_better:
            self.state.best_step = step
            self.state.best_value = values[self._settings.select]
        return any_better
