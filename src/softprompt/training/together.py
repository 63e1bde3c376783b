"""Several prompts, or several heads on one prompt, trained in the same batches."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from softprompt.tasks.mixture import Mixture, PartExample
from softprompt.training.batches import plan, steps_per_epoch
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
        self.names = tuple(prompts)
        # A list, because a ModuleDict takes no part named `keys`.
        self.prompts = nn.ModuleList(prompts.values())

    def __getitem__(self, name: str) -> "Prompt":
        return self.prompts[self.names.index(name)]  # type: ignore[return-value]

    def tensors_of(self, name: str) -> str:
        """How the names of a part's tensors begin in the state of the set."""
        return f"prompts.{self.names.index(name)}."


class SharedLoop(Loop):
    """One prompt with a head for each part, trained on the mixture of their examples.

    Source: P-Tuning v2 (2110.07602) §3.2, multi-task learning: the prompt is shared, each task has its own
    linear classifier. With one part it is plain training. `select` judges the mean over the parts.
    """

    _prompt: PromptSet  # type: ignore[assignment]
    _task: Mixture  # type: ignore[assignment]
    _examples: Sequence[PartExample]  # type: ignore[assignment]

    def _prompted(self, part: Sequence[int]) -> AbstractContextManager[Any]:
        rows = self._task.rows([self._examples[i] for i in part])
        return self._backbone.prompted(list(self._prompt.prompts), rows=rows)  # type: ignore[arg-type]

    def _objective(self, part: Sequence[int], batch: Sequence[int]) -> tuple[Tensor, Tensor]:
        losses = self._task.losses([self._examples[i] for i in part])
        total = sum(losses.values(), start=next(iter(losses.values())).new_zeros(()))
        return total, total / self._divisor(batch)

    def _better(self, value: float, than: float | None) -> bool:
        if than is None:
            return True
        return value > than if self._settings.select == "metric" else value < than


class SeparateLoop(SharedLoop):
    """A prompt of its own for each part, all trained at once: each exactly as though alone.

    Source: Prefix-Tuning (2101.00190) §8.1, batching across users. Every part has its own batches, its own
    mean loss, its own gradient norm and its own best step; only the pass over the frozen backbone is shared.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._mine = {
            name: [i for i, example in enumerate(self._examples) if example.part == name]
            for name in self._prompt.names
        }
        self._plans: dict[tuple[str, int], list[list[int]]] = {}

    def _batch(self, step: int) -> list[int]:
        batch: list[int] = []
        for name, places in self._mine.items():
            epoch, index = divmod(step, steps_per_epoch(len(places), self._settings.batch_size))
            if (name, epoch) not in self._plans:
                # Only the current epoch of each part is kept.
                self._plans = {key: value for key, value in self._plans.items() if key[0] != name}
                lengths = [self._lengths[i] for i in places]
                self._plans[name, epoch] = plan(lengths, self._settings, epoch)
            batch += [places[i] for i in self._plans[name, epoch][index]]
        return batch

    def _objective(self, part: Sequence[int], batch: Sequence[int]) -> tuple[Tensor, Tensor]:
        losses = self._task.losses([self._examples[i] for i in part])
        zero = next(iter(losses.values())).new_zeros(())
        objective = zero
        for name, loss in losses.items():
            objective = objective + loss / self._divisor([i for i in batch if self._examples[i].part == name])
        return sum(losses.values(), start=zero), objective

    def _clip(self) -> float:
        limit = float("inf") if self._settings.clip_norm is None else self._settings.clip_norm
        norms = []
        for prompt in self._prompt.prompts:
            own = [p for p in prompt.parameters() if p.requires_grad]
            norms.append(float(nn.utils.clip_grad_norm_(own, limit)))
        return max(norms)

    def _remember(self, step: int, values: Mapping[str, float]) -> bool:
        state = self._prompt.state_dict()
        any_better = False
        for name in self._prompt.names:
            value = self._number(step, values[f"{name}.{self._settings.select}"])
            before = self.state.parts.get(name)
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
