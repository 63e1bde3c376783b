"""Grouped-query attention by torch's kernel, without a copy of keys and values for every head of a group."""

import torch
from torch import Tensor


def grouped(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    scale: float,
    dropout: float = 0.0,
    causal: bool = False,
) -> Tensor:
    """Attention in which the heads of a group are further queries of their one key/value head.

    Args:
        query: `[batch, head, seq, key_dim]`.
        keys: `[batch, kv_head, keys, key_dim]`.
        values: `[batch, kv_head, keys, value_dim]`.
        mask: already repeated for the group, `[batch or 1, 1, group * seq or 1, keys]`.
        scale: of the scores.
        dropout: share of weights dropped.
        causal: query i sees the keys 0..i alone; without a mask, and for groups of one head.

    Returns:
        `[batch, seq, head, value_dim]`, as the stock functions give it.
    """
    batch, heads, q_len, dim = query.shape
    packed = query.reshape(batch, keys.shape[1], heads // keys.shape[1] * q_len, dim)
    out = torch.nn.functional.scaled_dot_product_attention(
        packed, keys, values, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale
    )
    return out.reshape(batch, heads, q_len, values.shape[-1]).transpose(1, 2).contiguous()
