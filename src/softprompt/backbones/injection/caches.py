"""What a cache of transformers holds, whatever its layers keep: keys and values, or recurrent states."""

from collections.abc import Mapping
from typing import Any


def cache_of(output: Any, name: str | None = "past_key_values") -> Any:
    """The cache among a model's outputs, or None."""
    return output.get(name) if isinstance(output, Mapping) else None


def is_empty(cache: Any) -> bool:
    """Whether a cache holds no token yet."""
    for layer in getattr(cache, "layers", ()):
        if getattr(layer, "is_initialized", False) and _length(layer) > 0:
            return False
        states = getattr(layer, "has_previous_state", False)
        if any(states.values()) if isinstance(states, Mapping) else states:
            return False
    return True


def _length(layer: Any) -> int:
    try:
        return int(layer.get_seq_length())
    except (AttributeError, NotImplementedError, ValueError):
        return 0


def holds_keys(cache: Any) -> bool:
    """Whether a layer of a cache keeps keys of single tokens, which a mask can hide; else states alone."""
    layers = getattr(cache, "layers", None)
    return not layers or any(hasattr(layer, "keys") for layer in layers)
