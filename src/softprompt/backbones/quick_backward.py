"""The backward pass of attention in bfloat16 on CPU, where torch's own is slow.

torch's fused kernel has a fast forward pass, but its backward pass works through every row and head on its
own: for rows of a few dozen tokens it costs several times what a few batched matrix products cost
(`benchmarks/attention.py`). So the forward pass stays the stock one, to the last bit, and the backward pass
computes the weights again, a few rows at a time, and multiplies.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.bfloat16,)
"""Precisions in which it was measured to be faster."""

LARGEST = 2**20
"""Scores of one row and key/value head beyond which the stock backward pass is as fast."""

CHUNK_BYTES = 2**20
"""Scores that are held at once, about what a core's own cache holds."""


def pays(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> bool:
    """Whether gradients will be asked for that are faster computed here.

    Args:
        query: `[batch, head, seq, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: boolean or additive, or none.
        dropout: share of weights dropped, which a second computation would draw anew.
    """
    if query.device.type != "cpu" or query.dtype not in DTYPES or dropout or torch.compiler.is_compiling():
        return False
    if not (torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)):
        return False
    if query.shape[0] != key.shape[0] or query.shape[1] % key.shape[1]:
        return False
    if mask is not None and (mask.shape[1] != 1 or mask.requires_grad):
        return False
    if query.shape[1] // key.shape[1] * query.shape[2] * key.shape[2] > LARGEST:
        return False
    # A row that sees nothing at all: what the stock kernel makes of it stays the stock kernel's business.
    return mask is None or mask.dtype != torch.bool or bool(mask.any(-1).all())


def attend(
    forward: Callable[[Tensor, Tensor, Tensor], Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: bool,
    scale: float,
) -> Tensor:
    """What `forward` gives of query, key and value, with a backward pass of its own.

    Args:
        forward: the attention, `[batch, seq, head, value_dim]`.
        query: `[batch, head, seq, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: boolean (True attends) or additive, `[batch or 1, 1, seq or 1, keys]`; or none.
        causal: whether, without a mask, query i sees the keys 0..i alone.
        scale: of the scores.
    """
    if mask is None and causal:
        shape = query.shape[2], key.shape[2]
        mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()[None, None]
    out = _Attention.apply(query, key, value, mask, scale, forward)
    assert isinstance(out, Tensor)
    return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scale: float,
        forward: Callable[[Tensor, Tensor, Tensor], Tensor],
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.scale = scale
        return forward(query, key, value)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_out: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mask = ctx.saved_tensors
        batch, heads, q_len, _ = query.shape
        kv_heads, n_keys = key.shape[1:3]
        group = heads // kv_heads
        added = None if mask is None else _additive(mask, query.dtype)[:, :, None]
        # The heads of a group are further queries of their one key/value head.
        packed = batch, kv_heads, group * q_len, -1
        query, by_out = query.reshape(packed), by_out.transpose(1, 2).reshape(packed)
        by_query, by_key, by_value = (t.new_empty(t.shape) for t in (query, key, value))
        rows = max(1, CHUNK_BYTES // (heads * q_len * n_keys * query.element_size()))
        for start in range(0, batch, rows):
            part = slice(start, start + rows)
            q, k, v, g = (t[part].flatten(0, 1) for t in (query, key, value, by_out))
            scores = torch.bmm(q, k.transpose(1, 2))
            if added is None:
                scores.mul_(ctx.scale)
            else:
                seen = scores.view(-1, kv_heads, group, q_len, n_keys)
                here = added if added.shape[0] == 1 else added[part]
                torch.add(here, seen, alpha=ctx.scale, out=seen)
            weights = scores.softmax(-1)
            torch.bmm(weights.transpose(1, 2), g, out=by_value[part].flatten(0, 1))
            by_weights = torch.bmm(g, v.transpose(1, 2))
            by_scores = torch.ops.aten._softmax_backward_data(by_weights, weights, -1, weights.dtype)
            torch.bmm(by_scores, k, out=by_query[part].flatten(0, 1))
            torch.bmm(by_scores.transpose(1, 2), q, out=by_key[part].flatten(0, 1))
        by_query = by_query.mul_(ctx.scale).view(batch, heads, q_len, -1)
        return by_query, by_key.mul_(ctx.scale), by_value, None, None, None


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
