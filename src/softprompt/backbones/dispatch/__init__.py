"""Forwards of a live model's modules, overridden in the calls of one context alone."""

from softprompt.backbones.dispatch.acting import (
    Forward,
    Gate,
    Override,
    bound_arguments,
    overridden,
    overriding,
    without_overrides,
)
from softprompt.backbones.dispatch.patching import (
    DispatchedForward,
    dispatch_again,
    dispatching,
    replaced,
)
from softprompt.backbones.dispatch.undoing import setting, undone

__all__ = [
    "DispatchedForward",
    "Forward",
    "Gate",
    "Override",
    "bound_arguments",
    "dispatch_again",
    "dispatching",
    "overridden",
    "overriding",
    "replaced",
    "setting",
    "undone",
    "without_overrides",
]
