"""A quantised weight that knows as few operations as torchao's do, in plain torch."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Int8Weight(torch.Tensor):
    """Rows of eight-bit numbers with a scale each; it can be multiplied by, detached and turned back."""

    @staticmethod
    def __new__(cls, numbers: Tensor, scale: Tensor) -> Any:
        return torch.Tensor._make_wrapper_subclass(
            cls, numbers.shape, dtype=scale.dtype, device=numbers.device
        )

    def __init__(self, numbers: Tensor, scale: Tensor) -> None:
        self.numbers, self.scale = numbers, scale

    def dequantize(self) -> Tensor:
        """The weight that is meant."""
        return self.numbers.to(self.scale.dtype) * self.scale

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear:
            return F.linear(args[0], args[1].dequantize(), *args[2:], **(kwargs or {}))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return Int8Weight(args[0].numbers, args[0].scale)
        raise NotImplementedError(f"{func} on Int8Weight")


def quantise(model: Any, head: bool = False) -> Any:
    """Turn the weights of linear layers to eight bits, in place; the vocabulary matrix if asked for."""
    for name, module in model.named_modules():
        if type(module) is nn.Linear and (head or "lm_head" not in name):
            weight = module.weight.detach()
            scale = weight.abs().amax(1, keepdim=True) / 127
            module.weight = nn.Parameter(
                Int8Weight((weight / scale).round().to(torch.int8), scale), requires_grad=False
            )
    return model


def dequantised(model: Any) -> Any:
    """Put plain tensors back, with what the eight bits mean."""
    for module in model.modules():
        if type(module) is nn.Linear and isinstance(module.weight, Int8Weight):
            module.weight = nn.Parameter(module.weight.dequantize(), requires_grad=False)
    return model
