"""How a method is trained where a recipe does not say: its learning rates, schedule and warm-up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from softprompt.config import USUAL_RATE, MethodSettings
from softprompt.errors import ConfigError

HEAD_RATE = 1e-2
"""The learning rate of a linear head, which begins at random numbers whatever the prompt is; less on large
states, see `head_rate`."""


def _number(value: object, above: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and above < value <= most


@dataclass(frozen=True)
class TrainingDefaults:
    """How a method, or a variant of it, is trained where a recipe gives no learning rate.

    Args:
        learning_rate: of the prompt.
        head_learning_rate: of a head beside it; None is the same.
        schedule: how the rates fall.
        warmup: share of the steps over which the rates rise.
        when: the settings that the variant has, by name: a value, or several in a tuple. A value with an
            argument counts by its beginning (`last` is any `last:k`), and a list by its members. `head` says
            whether the task has a trained head.

    Raises:
        ConfigError: a rate or a share that no training can have.
    """

    learning_rate: float
    head_learning_rate: float | None = None
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = 0.0
    when: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("learning_rate", "head_learning_rate"):
            rate = getattr(self, name)
            if not (rate is None and name != "learning_rate") and not _number(rate, above=0, most=1000):
                expected = "a number above 0, at most 1000"
                raise ConfigError(f"TrainingDefaults.{name}", repr(rate), expected)
        if not _number(self.warmup, above=-1e-12, most=0.9):
            raise ConfigError("TrainingDefaults.warmup", repr(self.warmup), "a share from 0 to 0.9")
        if self.schedule not in ("linear", "cosine", "constant"):
            got, expected = repr(self.schedule), "'linear', 'cosine' or 'constant'"
            raise ConfigError("TrainingDefaults.schedule", got, expected)

    def fit(self, settings: MethodSettings, has_head: bool) -> bool:
        """Whether a method's settings are those of this variant."""
        of_task = {"head": has_head}
        return all(
            _is(of_task.get(name, getattr(settings, name, None)), value) for name, value in self.when.items()
        )


def head_rate(usual: float, state_size: float) -> float:
    """The default rate of a head on states of a size: such that AdamW's first step changes no output by more
    than about 1.

    Its first step changes every weight by the rate, whatever the gradient, and so an output by the rate times
    the sum of the state's magnitudes. At 1e-2 that is 0.9 on MiniLM's states and 6.5 on those of SmolLM2,
    where the loss of the first steps rises from 2 to 6 (docs/choosing.md).

    Args:
        usual: the method's.
        state_size: mean sum of the magnitudes of a state.
    """
    if not state_size > 0 or usual * state_size <= 1:
        return usual
    return float(f"{1 / state_size:.1e}")  # as one would write it


UNDECLARED = TrainingDefaults(USUAL_RATE)
"""The defaults of a method that declares none."""

TUNED: Mapping[str, float] = {
    "all": 1e-4,
    "last": 1e-4,
    "head": 1e-4,
    "bitfit": 1e-3,
    "biases": 1e-3,
    "layernorm": 1e-3,
}
"""The learning rates of the backbone's own tensors, by what `tune` chooses."""


def tuned_defaults(auto: bool = False) -> list[TrainingDefaults]:
    """A variant for each choice of `tune`, for methods that train the backbone's tensors alone.

    Args:
        auto: whether the choice may be `auto`, `bitfit` or `layernorm`, which have one rate.
    """
    return [
        TrainingDefaults(
            rate, HEAD_RATE, warmup=0.05, when={"tune": (tune, "auto") if auto and tune == "bitfit" else tune}
        )
        for tune, rate in TUNED.items()
    ]


def tuned_rate(settings: MethodSettings) -> float | None:
    """The rate of the tensors that a method's `tune` chooses; None where it chooses none."""
    tune = str(getattr(settings, "tune", None)).partition(":")[0]
    return TUNED.get("bitfit" if tune == "auto" else tune)


def fitting(
    variants: Sequence[TrainingDefaults], settings: MethodSettings, has_head: bool
) -> TrainingDefaults:
    """The first variant that a method's settings and task have; `UNDECLARED` where none fits."""
    return next((variant for variant in variants if variant.fit(settings, has_head)), UNDECLARED)


def _is(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple):
        return any(_is(value, one) for one in wanted)
    if isinstance(value, list | tuple):
        return any(_is(one, wanted) for one in value)
    return value == wanted or (isinstance(value, str) and value.partition(":")[0] == wanted)
