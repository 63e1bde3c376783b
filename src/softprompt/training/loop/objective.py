"""The objective of a run: its loss, batches, clipping and best prompt, for one task or several."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from softprompt.config import TrainingSettings
from softprompt.errors import TrainingError
from softprompt.metrics import higher_is_better
from softprompt.tasks import AnyExample, Task
from softprompt.training.loop.schedule import plan, steps_per_epoch
from softprompt.training.run_folder import State

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


@dataclass(frozen=True)
class Group:
    """Examples that have one mean loss, one gradient norm, one best step and one patience.

    Args:
        name: of its part; empty for the group of all examples.
        places: indices of its examples.
        parameters: that it trains.
        tensors: prefix of its tensors' names in the module's state.
    """

    name: str
    places: Sequence[int]
    parameters: Sequence[nn.Parameter]
    tensors: str = ""


class Trained(Protocol):
    """Prompts, and the tasks that they are trained on."""

    @property
    def backbone(self) -> "Backbone":
        """The frozen model."""
        ...

    @property
    def module(self) -> nn.Module:
        """Everything that is trained."""
        ...

    def throughout(self) -> AbstractContextManager[Any]:
        """A context around all steps."""
        ...

    def prompted(self, examples: Sequence[Any]) -> AbstractContextManager[Any]:
        """A context around the pass over these examples, where it is not the same for all."""
        ...

    def losses(self, examples: Sequence[Any]) -> Mapping[str, Tensor]:
        """The summed loss of these examples, by the name of their part."""
        ...

    def absent(self, examples: Sequence[Any]) -> Sequence[nn.Parameter]:
        """The parameters that a step with these examples alone leaves unchanged."""
        ...


@dataclass(frozen=True)
class OneTask:
    """One prompt on one task."""

    backbone: "Backbone"
    task: Task
    module: "Prompt"

    def throughout(self) -> AbstractContextManager[Any]:
        """As `Trained` says."""
        return self.backbone.prompted(self.module)

    def prompted(self, examples: Sequence[AnyExample]) -> AbstractContextManager[Any]:
        """As `Trained` says."""
        return nullcontext()

    def losses(self, examples: Sequence[AnyExample]) -> dict[str, Tensor]:
        """As `Trained` says."""
        return {"": self.task.loss(examples)}

    def absent(self, examples: Sequence[AnyExample]) -> list[nn.Parameter]:
        """As `Trained` says."""
        return []


class Objective:
    """The loss of a step, its batch, the bound on its gradients, and the choice of the best prompt.

    Batches are a pure function of the settings and the step, except that a group whose patience ran out has
    no more examples.

    Args:
        trained: the prompts and their tasks.
        examples: encoded training pairs.
        settings: of the training.
        groups: averaged, clipped and compared each by itself; None is one group of all examples.
    """

    def __init__(
        self,
        trained: Trained,
        examples: Sequence[AnyExample],
        settings: TrainingSettings,
        groups: Sequence[Group] | None = None,
    ) -> None:
        self.trained, self.examples, self.settings = trained, examples, settings
        self.parameters = {name: p for name, p in trained.module.named_parameters() if p.requires_grad}
        self.groups = groups or [Group("", range(len(examples)), tuple(self.parameters.values()))]
        self.lengths = [example.length for example in examples]
        self._group_of = {i: group.name for group in groups or () for i in group.places}
        largest = max(len(group.places) for group in self.groups)
        self.steps_per_epoch = steps_per_epoch(largest, settings.batch_size)
        self.evaluate_every = settings.evaluate_every or self.steps_per_epoch
        self._plans: dict[str, tuple[int, list[list[int]]]] = {}

    def batch(self, state: State) -> list[int]:
        """Indices of the examples of the next step."""
        batch: list[int] = []
        for group in self.groups:
            if self._rests(state, group):
                continue
            places = group.places
            epoch, index = divmod(state.step, steps_per_epoch(len(places), self.settings.batch_size))
            if group.name not in self._plans or self._plans[group.name][0] != epoch:
                lengths = [self.lengths[i] for i in places]
                self._plans[group.name] = (epoch, plan(lengths, self.settings, epoch))
            batch += [places[i] for i in self._plans[group.name][1][index]]
        return batch

    def prompted(self, some: Sequence[int]) -> AbstractContextManager[Any]:
        """The context of a pass over some examples."""
        return self.trained.prompted([self.examples[i] for i in some])

    def losses(self, some: Sequence[int], batch: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The summed loss of some examples, and the minimised one: their share in the means of the step.

        Args:
            some: of the batch.
            batch: of the whole step, so that the losses of its passes and processes add up to the mean.
        """
        by_part = self.trained.losses([self.examples[i] for i in some])
        total = torch.stack(list(by_part.values())).sum()
        if not self._group_of:
            return total, total / self._divisor(batch)
        shares: dict[str, list[int]] = defaultdict(list)
        for i in batch:
            shares[self._group_of[i]].append(i)
        means = [loss / self._divisor(shares[name]) for name, loss in by_part.items()]
        return total, torch.stack(means).sum()

    def rest(self, batch: Sequence[int]) -> None:
        """Remove the gradients of parts without an example; zeros would let the optimizer move them."""
        for parameter in self.trained.absent([self.examples[i] for i in batch]):
            parameter.grad = None

    def clip(self, step: int) -> float:
        """Bound the norm of each group's gradients; returns the largest norm before.

        Raises:
            TrainingError: the norm of a part is not finite.
        """
        limit = math.inf if self.settings.clip_norm is None else self.settings.clip_norm
        norms = []
        for group in self.groups:
            norms.append(float(nn.utils.clip_grad_norm_(group.parameters, limit)))
            if group.name and not math.isfinite(norms[-1]):
                raise TrainingError(
                    f"training step {step}, part {group.name}",
                    f"gradient norm {norms[-1]}",
                    "finite numbers",
                    "lower training.learning_rate, or train that part alone",
                )
        return max(norms)

    def stopped_early(self, state: State) -> bool:
        """Whether patience ran out, for every group."""
        return all(self._rests(state, group) for group in self.groups)

    def selected(self, state: State, values: Mapping[str, float]) -> dict[str, float]:
        """The value of an evaluation that selects the best prompt, for each group that still trains."""
        select = self.settings.select
        return {
            group.name: values[f"{group.name}.{select}" if group.name else select]
            for group in self.groups
            if not self._rests(state, group)
        }

    def judge(self, state: State, values: Mapping[str, float]) -> dict[str, Tensor] | None:
        """Record in the state which groups improved.

        Returns:
            Copies of their tensors by name in the module; None if no group improved.
        """
        select, kept = self.settings.select, None
        tensors = self.trained.module.state_dict()
        begins = {group.name: group.tensors for group in self.groups}
        for name, value in self.selected(state, values).items():
            before = state.parts.get(name, (-1, None))[1] if name else state.best_value
            if better(select, value, before):
                if name:
                    state.parts[name] = (state.step, value)
                own = {key: t.detach().clone() for key, t in tensors.items() if key.startswith(begins[name])}
                kept = {**(kept or {}), **own}
        if kept is not None:
            state.best_step, state.best_value = state.step, values[select]
        return kept

    def _rests(self, state: State, group: Group) -> bool:
        """Whether the patience of a group ran out."""
        patience = self.settings.patience
        if patience is None:
            return False
        if not group.name:
            return state.misses >= patience
        if group.name not in state.parts:
            return False
        # How many evaluations there were up to each step, without that at step 0.
        last, best = (
            -(-step // self.evaluate_every) for step in (state.evaluated, state.parts[group.name][0])
        )
        return last - best >= patience

    def _divisor(self, places: Sequence[int]) -> int:
        if self.settings.loss == "sequence_sum":
            return len(places)
        return sum(self.examples[i].n_targets for i in places)


def better(name: str, value: float, than: float | None) -> bool:
    """Whether a value of a metric improves on the best so far.

    Args:
        name: `loss`, a metric, or `metric`: that of several tasks, its sign turned so that more is better.
        value: the new one.
        than: the best before; None if there is none.
    """
    if than is None:
        return True
    more = name == "metric" or higher_is_better(name)
    return value > than if more else value < than
