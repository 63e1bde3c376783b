"""When a run's loss has exploded, and the error that says so."""

import math
from dataclasses import dataclass
from statistics import median

from softprompt.errors import TrainingError
from softprompt.training.run_folder import State

_WINDOW = 10
"""Steps whose median loss is looked at, so that a few hard batches do not count."""

_EXAMPLES_AT_START, _FEWEST, _MOST = 48, 3, 10
"""The start is the highest loss of as many steps as read so many examples, of 3 steps to 10."""

_FACTOR, _MARGIN = 2.0, 0.5
"""A loss has exploded above twice that of the start and 0.5 more, since one near 0 may well rise."""


class ExplodedError(TrainingError):
    """A run whose loss exploded, or is no number."""


@dataclass(frozen=True)
class LossWatch:
    """Looks at the losses of a run, which are kept in its state so that a resumed run sees the same.

    Args:
        batch_size: examples of a step.
    """

    batch_size: int

    def see(self, state: State, loss: float) -> None:
        """Take the loss of one step."""
        n_first = min(max(-(-_EXAMPLES_AT_START // self.batch_size), _FEWEST), _MOST)
        if len(state.first_losses) < n_first:
            state.first_losses.append(loss)
        state.last_losses = [*state.last_losses, loss][-_WINDOW:]

    def limit(self, state: State) -> float:
        """The loss above which a run has exploded; infinite before the first step."""
        return _FACTOR * max(state.first_losses) + _MARGIN if state.first_losses else math.inf

    def rises(self, state: State) -> bool:
        """Whether the last step is above the limit, so that no checkpoint should be made of it."""
        return bool(state.last_losses) and state.last_losses[-1] > self.limit(state)

    def exploded(self, state: State) -> bool:
        """Whether the loss has been above the limit for as long as the watch looks back."""
        full = len(state.last_losses) == _WINDOW
        return full and median(state.last_losses) > self.limit(state) < min(state.last_losses[-_FEWEST:])

    def said(self, state: State, rate: float) -> str:
        """What happened, for an error."""
        last, start = median(state.last_losses), max(state.first_losses)
        return (
            f"a loss of {last:.3g} (median of {_WINDOW} steps), more than twice the {start:.3g} of the "
            f"beginning, at learning rate {rate:g}"
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
