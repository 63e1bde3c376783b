"""Calls of a live model's modules, each answered by what is active where the call runs."""

from softprompt.backbones.dispatch.acting import (
    Forward,
    Gate,
    Override,
    bound_arguments,
    overridden,
    overriding,
    setting,
    without_overrides,
)
from softprompt.backbones.dispatch.patching import (
    DispatchedForward,
    replaced,
    stand,
    stand_again,
    standing,
    step_off,
)

__all__ = [
    "DispatchedForward",
    "Forward",
    "Gate",
    "Override",
    "bound_arguments",
    "overridden",
    "overriding",
    "replaced",
    "setting",
    "stand",
    "stand_again",
    "standing",
    "step_off",
    "without_overrides",
]
