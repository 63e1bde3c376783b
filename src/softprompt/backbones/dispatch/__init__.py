"""Calls of a live model's modules, each answered by what is active where the call runs."""

from softprompt.backbones.dispatch.forwards import (
    Forward,
    Override,
    overridden,
    overriding,
    standing,
    without_overrides,
)
from softprompt.backbones.dispatch.replaced import replaced, restore

__all__ = [
    "Forward",
    "Override",
    "overridden",
    "overriding",
    "replaced",
    "restore",
    "standing",
    "without_overrides",
]
