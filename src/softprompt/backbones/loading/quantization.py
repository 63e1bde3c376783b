"""How the weights of a frozen model are stored: plain, quantised, sharded, or offloaded."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.errors import BackboneError

_PACKED = (torch.int8, torch.uint8, torch.int16, torch.int32)


def is_packed(weight: Tensor) -> bool:
    """Whether a parameter is quantised or sharded, and so cannot be trained."""
    return type(weight) not in (Tensor, nn.Parameter) or not weight.is_floating_point()


def quantised_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Every layer with quantised numbers of its own, and its path.

    GPTQ and AWQ keep theirs in buffers of integers, others in parameters.
    """
    return [
        (path, module)
        for path, module in model.named_modules()
        if any(map(_is_packed_parameter, module._parameters.values()))
        or any(map(_is_packed_buffer, module._buffers.values()))
    ]


def is_quantised(model: nn.Module) -> bool:
    """Whether some weights of a model are quantised (or sharded)."""
    return any(map(is_packed, model.parameters())) or any(map(_is_packed_buffer, model.buffers()))


def _is_packed_parameter(weight: Tensor | None) -> bool:
    return weight is not None and is_packed(weight) and not is_sharded(weight)


def _is_packed_buffer(buffer: Tensor | None) -> bool:
    # Positions are int64, masks are bool.
    return buffer is not None and buffer.ndim > 1 and buffer.dtype in _PACKED


def is_sharded(weight: Tensor) -> bool:
    """Whether this process holds only a part of a parameter."""
    return type(weight).__name__ == "DTensor"


def numbers(weight: Tensor) -> Tensor:
    """The numbers of a parameter as a flat tensor, `[number]`; a quantised parameter is dequantised."""
    try:
        return weight.detach().flatten()
    except NotImplementedError:  # torchao's tensors implement few operations
        return weight.detach().dequantize().flatten()


def quantisation(config: Any) -> str | None:
    """The method by which the weights of a model are quantised; None for plain weights."""
    settings = getattr(config, "quantization_config", None)
    if settings is None:
        return None
    get = settings.get if isinstance(settings, dict) else lambda key: getattr(settings, key, None)
    method = get("quant_method") or "by an unnamed method"
    return str(getattr(method, "value", method))


def check_weights(model: PreTrainedModel, dtype: Any, device: Any) -> None:
    """Refuse a model whose weights are out of reach, or cannot be moved or cast as asked.

    Raises:
        BackboneError: sharded or offloaded weights; a dtype or a device for quantised weights; a device for a
            model that lies on several.
    """
    weights = list(model.parameters())
    if any(map(is_sharded, weights)):
        got = "a model whose weights are sharded already"
        raise BackboneError("backbone", got, "a model with whole weights", "pass shard=True with it")
    n_offloaded = sum(weight.device.type == "meta" for weight in weights)
    if n_offloaded:
        raise BackboneError(
            "backbone",
            f"{n_offloaded} of {len(weights)} weights offloaded to the processor's memory or to disk",
            "all weights on devices, since every training step reads each weight twice",
            "load the model with fewer bits or on more devices",
        )
    if (dtype is not None or device is not None) and is_quantised(model):
        key, got = ("dtype", dtype) if dtype is not None else ("device", device)
        raise BackboneError(
            f"backbone.{key}",
            f"'{got}' for a quantised model",
            f"no {key}, since quantised weights keep the form in which they were loaded",
            f"leave {key} out",
        )
    devices = set(map(str, (getattr(model, "hf_device_map", None) or {}).values()))
    if device is not None and len(devices) > 1:
        raise BackboneError(
            "backbone.device",
            f"'{device}' for a model spread over {', '.join(sorted(devices))}",
            "no device, since its device map decides where each layer lies",
            "leave device out",
        )


def float_dtype(model: PreTrainedModel) -> torch.dtype:
    """The precision in which a model computes: the dtype of its first weight that is not quantised."""
    return next(w.dtype for w in model.parameters() if not is_packed(w))
