"""The learning rate of a step, as a pure function of its number."""

import math

from softprompt.config import TrainingSettings
from softprompt.errors import ConfigError


def learning_rate(step: int, n_steps: int, settings: TrainingSettings, steps_per_epoch: int = 1) -> float:
    """The rate for step `step` (from 0) of `n_steps`.

    The warm-up rises in equal parts and its first step already moves (rate / warm-up steps, not
    0). Afterwards `linear` falls towards 0, which it would reach one step after the last, and
    `exponential` is multiplied by `decay` after every epoch (steps of the warm-up count as its epochs do).
    """
    warmup = settings.warmup_steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    done = (step - warmup) / (n_steps - warmup)
    if settings.schedule == "constant":
        return settings.learning_rate
    if settings.schedule == "exponential":
        return settings.learning_rate * settings.decay ** (step // steps_per_epoch)
    if settings.schedule == "linear":
        return settings.learning_rate * (1 - done)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def check_warmup(n_steps: int, settings: TrainingSettings) -> None:
    """Raises ConfigError when the warm-up is as long as the run."""
    if settings.warmup_steps and settings.warmup_steps >= n_steps:
        raise ConfigError(
            "training.warmup_steps",
            settings.warmup_steps,
            f"fewer than the run's {n_steps} steps",
            "shorten the warm-up or train longer",
        )
