"""Attention whose keys and values begin with a prompt's, written by hand for every family that has any."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

KeyValue = tuple[Tensor, Tensor]
"""Keys and values of a prompt, `[1, kv_head, prompt, head_dim]` each."""

NAME = "keys and values in front"


@contextmanager
def prefixed(model: PreTrainedModel, turns: Sequence[KeyValue], shift: int) -> Iterator[None]:
    """Within this context the k-th attention of each pass begins with the k-th keys and values.

    Args:
        model: a copy that nobody else uses, since its kernel is changed.
        turns: in the order of the attentions' calls.
        shift: by how many positions the text is moved.
    """
    count = 0

    def turn() -> KeyValue:
        nonlocal count
        count += 1
        return turns[(count - 1) % len(turns)]

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, *args: Any, **kwargs: Any
    ) -> Any:
        keys, values = turn()
        if mask is not None:
            mask = nn.functional.pad(mask, (keys.shape[2], 0), value=0.0)
        if kwargs.get("position_bias") is not None:
            kwargs["position_bias"] = _relative_bias(model, module, kwargs["position_bias"], keys, shift)
        family: Any = sys.modules[type(module).__module__]
        key, value = torch.cat([keys, key], 2), torch.cat([values, value], 2)
        return family.eager_attention_forward(module, query, key, value, mask, *args, **kwargs)

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
    own = [module for module in model.modules() if type(module).__name__ in _FORWARDS]
    if own:
        for module in own:
            family = type(module).__module__.rpartition("_")[2]
            module.forward = partial(_FORWARDS[type(module).__name__], module, turn, family)
    else:
        model.set_attn_implementation(NAME)
    yield


def _relative_bias(model: nn.Module, module: Any, own: Tensor, keys: Tensor, shift: int) -> Tensor:
    """T5's bias for a prompt that is text before the text; 0 where the text is not moved."""
    if not shift:
        return nn.functional.pad(own, (keys.shape[2], 0))
    tables = (
        m for m in (module, *model.modules()) if getattr(m, "relative_attention_bias", None) is not None
    )
    owner: Any = next(tables)
    length = own.shape[2] + shift
    return owner.compute_bias(length, length)[:, :, -own.shape[2] :]


# -- families that compute attention themselves -------------------------------------------------------


def _mpnet(
    module: Any, turn: Callable[[], KeyValue], family: str, states: Tensor, mask: Any = None,
    bias: Any = None, **kwargs: Any,
) -> tuple[Tensor]:  # fmt: skip
    shape = (*states.shape[:-1], -1, module.attention_head_size)
    query, key, value = (
        linear(states).view(shape).transpose(1, 2) for linear in (module.q, module.k, module.v)
    )
    query = query / math.sqrt(module.attention_head_size)
    return (module.o(_attended(turn(), query, key, value, bias).flatten(2)),)


def _deberta(
    module: Any, turn: Callable[[], KeyValue], family: str, states: Tensor, mask: Any, weights: bool,
    **kwargs: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    relative, table = kwargs["relative_pos"], kwargs["rel_embeddings"]
    factor = 1 + len(module.pos_att_type)
    heads = module.num_attention_heads
    if family == "v2":
        projections = module.query_proj, module.key_proj, module.value_proj
        query, key, value = (module.transpose_for_scores(linear(states), heads) for linear in projections)
        bias: Any = 0
        if module.relative_attention:
            bias = module.disentangled_attention_bias(query, key, relative, table, factor)
            bias = bias.view(-1, heads, *bias.shape[-2:])
        query, key, value = (x.view(-1, heads, *x.shape[-2:]) for x in (query, key, value))
        query = query / math.sqrt(query.shape[-1] * factor)
    else:
        query, key, value = module.transpose_for_scores(module.in_proj(states)).chunk(3, dim=-1)
        query = query + module.transpose_for_scores(module.q_bias[None, None])
        value = value + module.transpose_for_scores(module.v_bias[None, None])
        query = query / math.sqrt(query.shape[-1] * factor)
        bias = module.disentangled_att_bias(query, key, relative, table, factor) if table is not None else 0
    return _attended(turn(), query, key, value, bias).flatten(2), None


def _attended(own: KeyValue, query: Tensor, key: Tensor, value: Tensor, bias: Any) -> Tensor:
    """`[1, seq, head, head_dim]`; queries are scaled, and a prompt's columns have no bias."""
    scores = torch.cat([query @ own[0].transpose(2, 3), query @ key.transpose(2, 3) + bias], 3)
    return (scores.softmax(-1) @ torch.cat([own[1], value], 2)).transpose(1, 2)


_FORWARDS: dict[str, Callable[..., Any]] = {
    "MPNetSelfAttention": _mpnet,
    "DisentangledSelfAttention": _deberta,
}
