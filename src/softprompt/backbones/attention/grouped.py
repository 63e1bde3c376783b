"""Attention without copies of keys and values for every head of a group, or of a prompt for every row.

In grouped-query attention several heads read one key/value head. Both ways make the heads of a group further
queries of their one key/value head.
"""

import torch
from torch import Tensor

from softprompt.backbones.attention.mask import AttentionMask


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
