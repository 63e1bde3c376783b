"""When a run's loss has exploded, and the error that says so."""

import math
from dataclasses import dataclass
from statistics import median

from softprompt.errors import TrainingError
from softprompt.training.run_folder import State

_EXAMPLES, _FEWEST, _MOST = 80, 10, 50
"""The median loss of as many steps as read so many examples is looked at, within 10 and 50 steps, so that a
few hard batches do not count."""

_LAST = 3
"""Steps whose median must be above the limit too: a loss that has come down again is no explosion."""

_FACTOR, _NOISE, _MARGIN = 2.0, 16.0, 0.5
"""A loss has exploded above this factor of the first step's and a margin, since one near 0 may well rise.
`_NOISE` / batch size is added to the factor: the first step is all that is known of the untrained prompt, and
a single example may be far from the mean."""


class ExplodedError(TrainingError):
    """A run whose loss exploded, or is no number."""


@dataclass(frozen=True)
class LossWatch:
    """Looks at the losses of a run, which are kept in its state so that a resumed run sees the same.

    Args:
        batch_size: examples of a step.
    """

    batch_size: int

    @property
    def window(self) -> int:
        """How many steps it looks back."""
        return min(max(-(-_EXAMPLES // self.batch_size), _FEWEST), _MOST)

    def see(self, state: State, loss: float) -> None:
        """Take the loss of one step."""
        if state.first_loss is None:
            state.first_loss = loss
        state.last_losses = [*state.last_losses, loss][-self.window :]

    def limit(self, state: State) -> float:
        """The loss above which a run has exploded; infinite before the first step."""
        if state.first_loss is None:
            return math.inf
        return (_FACTOR + _NOISE / self.batch_size) * state.first_loss + _MARGIN

    def rises(self, state: State) -> bool:
        """Whether the last step is above the limit, so that no checkpoint should be made of it."""
        return bool(state.last_losses) and state.last_losses[-1] > self.limit(state)

    def exploded(self, state: State) -> bool:
        """Whether the loss has been above the limit for as long as the watch looks back."""
        losses, limit = state.last_losses, self.limit(state)
        return len(losses) == self.window and min(median(losses), median(losses[-_LAST:])) > limit

    def said(self, state: State, rate: float) -> str:
        """What happened, for an error."""
        last, first = median(state.last_losses), state.first_loss
        return (
            f"a loss of {last:.3g} (median of {self.window} steps), from {first:.3g} at the beginning, "
            f"at learning rate {rate:g}"
        )


def rate_to_try(rate: float, usual: float | None) -> tuple[float, str]:
    """A lower learning rate for a run that exploded, and why this one.

    Args:
        rate: of the run.
        usual: the default of its method; None where there is none.
    """
    if usual is not None and usual < 0.9 * rate:
        return usual, "the default of the method"
    return float(f"{rate / 5:.1g}"), "a fifth"
