"""Weights as they come: bundled backbones, other formats, quantised tensors.

Names load lazily, so that listing the bundled backbones costs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "check_held": "quantization",
    "float_dtype": "quantization",
    "is_packed": "quantization",
    "is_sharded": "quantization",
    "numbers": "quantization",
    "without_bars": "quiet",
}

__all__ = ["bundled", "check_held", "float_dtype", "is_packed", "is_sharded", "numbers", "without_bars"]


def __getattr__(name: str) -> Any:
    if name == "bundled":
        return import_module("softprompt.backbones.loading.bundled")
    if name not in _PUBLIC:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


if TYPE_CHECKING:
    from softprompt.backbones.loading import bundled
    from softprompt.backbones.loading.quantization import (
        check_held,
        float_dtype,
        is_packed,
        is_sharded,
        numbers,
    )
    from softprompt.backbones.loading.quiet import without_bars
