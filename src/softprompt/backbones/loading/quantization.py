"""How a frozen model's weights are held: plain, quantised, spread over devices, or offloaded."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.errors import BackboneError


def is_packed(weight: Tensor) -> bool:
    """Whether a parameter holds quantised (or sharded) numbers, which cannot be trained."""
    return type(weight) not in (Tensor, nn.Parameter) or not weight.is_floating_point()


def is_sharded(weight: Tensor) -> bool:
    """Whether a parameter holds a share of its numbers only."""
    return type(weight).__name__ == "DTensor"


def numbers(weight: Tensor) -> Tensor:
    """All of a parameter's numbers in one row; those of a quantised one as it means them."""
    try:
        return weight.detach().flatten()
    except NotImplementedError:  # torchao's tensors know few operations
        return weight.detach().dequantize().flatten()


def check_held(model: PreTrainedModel, dtype: Any, device: Any) -> None:
    """Raises BackboneError where weights are out of reach, or a live model's cannot be moved or cast."""
    weights = list(model.parameters())
    if any(map(is_sharded, weights)):
        got = "a model whose weights are shared out already"
        raise BackboneError("backbone", got, "a model with whole weights", "pass shard=True with it")
    away = sum(weight.device.type == "meta" for weight in weights)
    if away:
        raise BackboneError(
            "backbone",
            f"{away} of {len(weights)} weights offloaded to the processor's memory or to disk",
            "all of them on devices, since every step needs each of them twice",
            "load the model with fewer bits or on more devices",
        )
    if (dtype is not None or device is not None) and any(map(is_packed, weights)):
        key, got = ("dtype", dtype) if dtype is not None else ("device", device)
        raise BackboneError(
            f"backbone.{key}",
            f"'{got}' for a quantised model",
            f"no {key}, since quantised weights stay as they were loaded",
            f"leave {key} out",
        )
    places = set(map(str, (getattr(model, "hf_device_map", None) or {}).values()))
    if device is not None and len(places) > 1:
        raise BackboneError(
            "backbone.device",
            f"'{device}' for a model spread over {', '.join(sorted(places))}",
            "no device, since it stays where its device map put it",
            "leave device out",
        )


def float_dtype(model: PreTrainedModel) -> torch.dtype:
    """The precision in which a model computes, whatever its weights are packed in."""
    return next(w.dtype for w in model.parameters() if not is_packed(w))
