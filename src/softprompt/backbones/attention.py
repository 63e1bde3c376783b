"""The one attention function: every family's attention passes here while a prompt is active.

transformers asks its `AttentionInterface` for the function named in a config. Inside `routed`
(`routing.py`) the configs name ours, which hands each call to whatever was put on the module, and to the
stock function unchanged where nothing was.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from softprompt.backbones.quick_backward import attend, pays
from softprompt.errors import BackboneError

Stock = Callable[..., tuple[Tensor, Tensor | None]]
KERNELS = ("sdpa", "eager")
"""Attention kernels that a prompt can work with."""

PREFIX = "softprompt_"
"""What our functions' names begin with, before the kernel's."""

_SLOT = "_softprompt"


@dataclass(frozen=True)
class AttentionCall:
    """One call of an attention function.

    Args:
        stock: the family's own function.
        kernel: `sdpa` or `eager`; they read a missing mask differently.
        module: the attention module.
        query: `[batch, head, seq, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: boolean (True attends) or additive, `[batch or 1, head or 1, seq, keys]`; or none.
        kwargs: the family's other arguments.
    """

    stock: Stock
    kernel: str
    module: nn.Module
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    kwargs: dict[str, Any]

    def as_usual(self) -> tuple[Tensor, Tensor | None]:
        """What the stock function makes of it."""
        return self.stock(self.module, self.query, self.key, self.value, self.mask, **self.kwargs)


Interception = Callable[[AttentionCall], tuple[Tensor, Tensor | None]]
"""What can be put on an attention module; gives `[batch, seq, head, value_dim]` and weights or None."""


def put(module: nn.Module, interception: Interception | None) -> None:
    """Put an interception on an attention module, or take it off with None."""
    # Straight into __dict__: an nn.Module among the values must not become a submodule of the backbone.
    if interception is None:
        module.__dict__.pop(_SLOT, None)
    else:
        module.__dict__[_SLOT] = interception


def standing_on(module: nn.Module) -> Interception | None:
    """The interception on an attention module, if any."""
    return module.__dict__.get(_SLOT)


def _attention(kernel: str) -> Stock:
    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        stock = _sdpa if kernel == "sdpa" else _eager(module)
        call = AttentionCall(stock, kernel, module, query, key, value, attention_mask, kwargs)
        interception = standing_on(module)
        return call.as_usual() if interception is None else interception(call)

    return attend


def _sdpa(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """The registered function, with a faster backward pass where there is one."""
    stock = ALL_ATTENTION_FUNCTIONS["sdpa"]
    # What it refuses (softcap), it still gets to refuse.
    odd = any(kwargs.get(name) is not None for name in ("position_bias", "cache", "softcap"))
    if odd or not pays(query, key, value, mask, kwargs.get("dropout") or 0.0):
        return stock(module, query, key, value, mask, **kwargs)
    is_causal = kwargs.get("is_causal")
    is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    out = attend(
        lambda q, k, v: stock(module, q, k, v, mask, **kwargs)[0],
        query,
        key,
        value,
        mask,
        bool(is_causal) and query.shape[2] > 1,
        kwargs.get("scaling") or query.shape[-1] ** -0.5,
    )
    return out, None


def _eager(module: nn.Module) -> Stock:
    """The eager function of the module's own family, which is not registered anywhere."""
    for cls in type(module).__mro__:
        found = getattr(sys.modules[cls.__module__], "eager_attention_forward", None)
        if found is not None:
            return found
    raise BackboneError(
        type(module).__name__,
        "no eager attention function",
        "one in the file of its class",
        "load the model with attention='sdpa'",
    )


for _kernel in KERNELS:
    AttentionInterface.register(PREFIX + _kernel, _attention(_kernel))
    AttentionMaskInterface.register(PREFIX + _kernel, ALL_MASK_ATTENTION_FUNCTIONS[_kernel])
