"""Attention with a prompt's keys and values before the real ones.

In grouped-query attention several heads read one key/value head; the heads of a group are made further
queries of it, so that neither keys and values are copied for every head, nor a prompt for every row.
"""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from softprompt.backbones.attention.cpu_backward import attend, pays
from softprompt.backbones.attention.interface import AttentionCall
from softprompt.backbones.attention.mask import AttentionMask

Made = TypeVar("Made")


def attend_with_prefix(
    call: AttentionCall,
    prefix_keys: Float[Tensor, "rows kv_head prompt key_dim"],
    prefix_values: Float[Tensor, "rows kv_head prompt value_dim"],
    valid: Bool[Tensor, "batch prompt"] | None,
    prefix_bias: Tensor | None,
    widened: dict[Any, Any],
) -> tuple[Tensor, Tensor | None]:
    """The stock attention with keys and values put before the real ones.

    Args:
        call: what the family asked for.
        prefix_keys: `[batch or 1, kv_head, prompt, key_dim]`.
        prefix_values: `[batch or 1, kv_head, prompt, value_dim]`.
        valid: which prompt columns each row sees, `[batch, prompt]`; None is all.
        prefix_bias: the relative position bias of the prompt columns, where the family has one.
        widened: masks that were already widened in this forward pass, which all layers share.
    """
    mask, query = call.read_mask(), call.query
    batch, q_len = query.shape[0], query.shape[2]
    # In the first pass into a static cache the keys beyond the queries are empty.
    key, value = call.key[:, :, : mask.n_visible], call.value[:, :, : mask.n_visible]
    kwargs = {name: given for name, given in call.kwargs.items() if name != "is_causal"}
    bias = kwargs.get("position_bias")
    if bias is not None:
        kwargs["position_bias"] = _before(bias[..., : mask.n_visible], prefix_bias, prefix_keys.shape[2])
    # The two shorter ways below were measured on CPU only; elsewhere the stock kernel stays.
    ours = call.kernel == "sdpa" and bias is None and query.device.type == "cpu"
    # The stock function refuses some options (softcap) itself.
    ours = ours and mask.same_for_heads and kwargs.get("softcap") is None
    scale, dropout = call.scale, call.dropout
    if ours and q_len == 1 and prefix_keys.shape[0] == 1 and valid is None and not dropout:
        shared = prefix_keys.to(key)[0], prefix_values.to(value)[0]
        return decode(query * scale, key, value, mask, *shared), None
    wide = _widened(mask, valid, prefix_keys.shape[2], widened)
    keys = torch.cat([prefix_keys.to(key).expand(batch, -1, -1, -1), key], dim=2)
    values = torch.cat([prefix_values.to(value).expand(batch, -1, -1, -1), value], dim=2)
    group = query.shape[1] // keys.shape[1]
    if not ours or group == 1:
        return call.stock(call.module, query, keys, values, wide.values, is_causal=False, **kwargs)
    packed = once(widened, ("grouped", group, id(wide)), lambda: wide.for_groups(group), wide)
    forward = partial(grouped, mask=packed, dropout=dropout, scale=scale)
    if call.may_go_back_quicker and pays(query, keys, values, wide, dropout):
        return attend(forward, query, keys, values, wide, scale), None
    return forward(query, keys, values), None


def _before(bias: Tensor, columns: Tensor | None, n: int) -> Tensor:
    """A position bias with columns for the prompt in front, which have none unless they are given.

    Args:
        bias: `[batch or 1, head, seq, keys]`.
        columns: `[batch or 1, head, seq or 1, n or 1]`, or none.
        n: number of prompt columns.
    """
    if columns is None:
        columns = bias.new_zeros(1, bias.shape[1], 1, 1)
    columns = columns.to(bias.dtype).expand(-1, bias.shape[1], bias.shape[2], n)
    rows = max(columns.shape[0], bias.shape[0])
    return torch.cat([columns.expand(rows, -1, -1, -1), bias.expand(rows, -1, -1, -1)], dim=-1)


def _widened(
    mask: AttentionMask, valid: Tensor | None, n_prefix: int, widened: dict[Any, Any]
) -> AttentionMask:
    """The mask with the prompt's columns, made once for all layers that have it."""
    shape = n_prefix, mask.q_len, mask.n_keys, mask.causal, mask.dtype, mask.device
    sources = mask.values, valid
    return once(widened, (*map(id, sources), *shape), lambda: mask.with_prefix(valid, n_prefix), sources)


def once(kept: dict[Any, Any], key: Hashable, make: Callable[[], Made], sources: object) -> Made:
    """What `make` gives, made once.

    Args:
        kept: what was made.
        key: of what is kept.
        make: makes it.
        sources: kept beside, so that no other object gets an id that is part of the key.
    """
    if key not in kept:
        kept[key] = (make(), sources)
    return kept[key][0]


def grouped(
    query: Tensor, keys: Tensor, values: Tensor, mask: AttentionMask, scale: float, dropout: float = 0.0
) -> Tensor:
    """Attention by torch's kernel, without a copy of keys and values for every head of a group.

    Args:
        query: `[batch, head, seq, key_dim]`.
        keys: `[batch, kv_head, keys, key_dim]`.
        values: `[batch, kv_head, keys, value_dim]`.
        mask: already made for the group (see `AttentionMask.for_groups`), the same for all heads.
        scale: of the scores.
        dropout: share of weights dropped.

    Returns:
        `[batch, seq, head, value_dim]`, as the stock functions give it.
    """
    batch, heads, q_len, dim = query.shape
    packed = query.reshape(batch, keys.shape[1], heads // keys.shape[1] * q_len, dim)
    out = torch.nn.functional.scaled_dot_product_attention(
        packed, keys, values, attn_mask=mask.values, dropout_p=dropout, scale=scale
    )
    return out.reshape(batch, heads, q_len, values.shape[-1]).transpose(1, 2).contiguous()


def decode(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: AttentionMask,
    prefix_keys: Tensor,
    prefix_values: Tensor,
) -> Tensor:
    """Attention of one new token per row, all rows reading one copy of the prompt's key/values.

    The same sum as over the concatenation, which would copy the prompt for every row, layer and token.

    Args:
        query: already scaled, `[batch, head, 1, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: over the keys, the same for all heads.
        prefix_keys: `[kv_head, prompt, key_dim]`.
        prefix_values: `[kv_head, prompt, value_dim]`.

    Returns:
        `[batch, 1, head, value_dim]`, as the stock functions give it.
    """
    batch, heads, _, dim = query.shape
    kv_heads, n_prefix = prefix_keys.shape[:2]
    group = heads // kv_heads
    packed = query.view(batch, kv_heads, group, dim)
    own = mask.apply(packed @ key.transpose(2, 3))
    by_head = packed.transpose(0, 1).reshape(kv_heads, batch * group, dim)
    shared = (by_head @ prefix_keys.transpose(1, 2)).view(kv_heads, batch, group, n_prefix).transpose(0, 1)
    weights = torch.cat([shared, own], dim=-1).softmax(-1, dtype=torch.float32).to(value.dtype)
    of_prefix = weights[..., :n_prefix].transpose(0, 1).reshape(kv_heads, batch * group, n_prefix)
    summed = (of_prefix @ prefix_values).view(kv_heads, batch, group, -1).transpose(0, 1)
    return (summed + weights[..., n_prefix:] @ value).reshape(batch, 1, heads, -1)
