"""How a method is trained where a recipe does not say: its learning rates, schedule and warm-up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from softprompt.config import USUAL_RATE, MethodSettings

HEAD_RATE = 1e-2
"""The learning rate of a linear head, which begins at random numbers whatever the prompt is."""


@dataclass(frozen=True)
class TrainingDefaults:
    """How a method, or a variant of it, is trained where a recipe gives no learning rate.

    Args:
        learning_rate: of the prompt.
        head_learning_rate: of a head beside it; None is the same.
        schedule: how the rates fall.
        warmup: share of the steps over which the rates rise.
        when: the settings that the variant has, by name: a value, or several in a tuple. A value with an
            argument counts by its beginning (`last` is any `last:k`), and a list by its members.
    """

    learning_rate: float
    head_learning_rate: float | None = None
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = 0.0
    when: Mapping[str, Any] = field(default_factory=dict)

    def fit(self, settings: MethodSettings) -> bool:
        """Whether a method's settings are those of this variant."""
        return all(_is(getattr(settings, name, None), value) for name, value in self.when.items())


UNDECLARED = TrainingDefaults(USUAL_RATE)
"""The defaults of a method that declares none."""

TUNED: Mapping[str, float] = {
    "all": 1e-4,
    "last": 3e-4,
    "head": 1e-4,
    "bitfit": 3e-3,
    "biases": 3e-3,
    "layernorm": 3e-3,
}
"""The learning rates of the backbone's own tensors, by what `tune` chooses."""


def tuned_defaults() -> list[TrainingDefaults]:
    """A variant for each choice of `tune`, for methods that train the backbone's tensors alone."""
    return [
        TrainingDefaults(rate, HEAD_RATE, warmup=0.1, when={"tune": tune}) for tune, rate in TUNED.items()
    ]


def tuned_rate(settings: MethodSettings) -> float | None:
    """The rate of the tensors that a method's `tune` chooses; None where it chooses none."""
    return TUNED.get(str(getattr(settings, "tune", None)).partition(":")[0])


def fitting(variants: Sequence[TrainingDefaults], settings: MethodSettings) -> TrainingDefaults:
    """The first variant that a method's settings have; `UNDECLARED` where none fits."""
    return next((variant for variant in variants if variant.fit(settings)), UNDECLARED)


def _is(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple):
        return any(_is(value, one) for one in wanted)
    if isinstance(value, list | tuple):
        return any(_is(one, wanted) for one in value)
    return value == wanted or (isinstance(value, str) and value.partition(":")[0] == wanted)
