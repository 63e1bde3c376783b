"""Forwards of a live model's modules, overridden in the calls of one context alone."""

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
    dispatch,
    dispatch_again,
    dispatching,
    replaced,
    undispatch,
)

__all__ = [
    "DispatchedForward",
    "Forward",
    "Gate",
    "Override",
    "bound_arguments",
    "dispatch",
    "dispatch_again",
    "dispatching",
    "overridden",
    "overriding",
    "replaced",
    "setting",
    "undispatch",
    "without_overrides",
]
