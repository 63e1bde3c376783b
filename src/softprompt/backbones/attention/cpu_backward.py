"""The backward pass of attention in bfloat16 on CPU, where torch's own is slow.

torch's fused kernel has a fast forward pass, but its backward pass works through every row and head on its
own: for rows of a few dozen tokens it costs several times what a few batched matrix products cost
(`benchmarks/attention.py`). So the forward pass stays the stock one, to the last bit, and the backward pass
computes the weights again, a few rows at a time, and multiplies. Long rows are cut into blocks of queries,
each of which meets the keys up to the last that its mask shows it: half of a causal mask is never computed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones.attention.mask import AttentionMask

DTYPES = (torch.bfloat16,)
"""Precisions in which it was measured to be faster."""

LARGEST = 2**20
"""Scores of one row and key/value head beyond which the stock backward pass is as fast, if all are needed."""

BLOCK = 256
"""Queries that share the last key they see."""

MUCH = 0.8
"""Share of the scores of long rows that blocks may leave and still be faster than the stock backward pass."""

CHUNK_BYTES = 2**20
"""Scores that are held at once, about what a core's own cache holds."""


def pays(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask, dropout: float) -> bool:
    """Whether gradients will be asked for that are faster computed here.

    Args:
        query: `[batch, head, seq, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: over those keys.
        dropout: share of weights dropped, which a second computation would draw anew.
    """
    if query.device.type != "cpu" or query.dtype not in DTYPES or dropout:
        return False
    if not (torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)):
        return False
    if query.shape[0] != key.shape[0] or query.shape[1] % key.shape[1]:
        return False
    if not mask.same_for_heads or (mask.values is not None and mask.values.requires_grad):
        return False
    if _is_long(query, key):
        # Without a mask the stock backward pass leaves out by itself what causality hides.
        blocks = replace(mask, causal=False).blocks(BLOCK)
        if sum((end - first) * seen for first, end, seen in blocks) > MUCH * mask.q_len * mask.n_keys:
            return False
    # A query that sees nothing at all: what the stock kernel makes of it stays the stock kernel's business.
    return mask.leaves_every_query_a_key


def attend(
    forward: Callable[[Tensor, Tensor, Tensor], Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: AttentionMask,
    scale: float,
) -> Tensor:
    """What `forward` gives of query, key and value, with a backward pass of its own.

    Args:
        forward: the attention, `[batch, seq, head, value_dim]`.
        query: `[batch, head, seq, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: over those keys, the same for all heads; it leaves every query a key.
        scale: of the scores.
    """
    out = _Attention.apply(query, key, value, mask.values, mask, scale, forward)
    assert isinstance(out, Tensor)
    return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        values: Tensor | None,
        mask: AttentionMask,
        scale: float,
        forward: Callable[[Tensor, Tensor, Tensor], Tensor],
    ) -> Tensor:
        # The mask's values are saved as a tensor too, so that torch notices if somebody changes them.
        ctx.save_for_backward(query, key, value, values)
        ctx.mask, ctx.scale = replace(mask, values=None), scale
        return forward(query, key, value)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_out: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, values = ctx.saved_tensors
        mask = replace(ctx.mask, values=values)
        return *_gradients(by_out, query, key, value, mask, ctx.scale), None, None, None, None


def _gradients(
    by_out: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by query, key and value, the weights computed again.

    Args:
        by_out: gradient by what attention gives, `[batch, seq, head, value_dim]`.
        query: `[batch, head, seq, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: over those keys, the same for all heads.
        scale: of the scores.
    """
    batch, heads, q_len, _ = query.shape
    kv_heads, n_keys = key.shape[1:3]
    group = heads // kv_heads
    by_out = by_out.transpose(1, 2)
    added = mask.additive(query.dtype)
    if added is not None:
        added = added[:, :, None].expand(batch, 1, 1, q_len, n_keys)
    long = _is_long(query, key)
    # The heads of a group are further queries of their one key/value head.
    apart = batch, kv_heads, group, q_len, -1
    query, by_out = query.reshape(apart), by_out.reshape(apart)
    if long:
        by_query, by_key, by_value = _in_blocks(by_out, query, key, value, mask, added, scale)
    else:
        by_query, by_key, by_value = (t.new_empty(t.shape) for t in (query, key, value))
        rows = max(1, CHUNK_BYTES // (heads * q_len * n_keys * query.element_size()))
        for start in range(0, batch, rows):
            part = slice(start, start + rows)
            into = by_query[part], by_key[part], by_value[part]
            here = None if added is None else added[part]
            _multiply(by_out[part], query[part], key[part], value[part], here, scale, into)
    return by_query.mul_(scale).view(batch, heads, q_len, -1), by_key.mul_(scale), by_value


def _multiply(
    by_out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    added: Tensor | None,
    scale: float,
    into: tuple[Tensor, Tensor, Tensor],
) -> None:
    """The gradients of a few rows, those by query and key not yet times `scale`.

    Args:
        by_out: `[batch, kv_head, group, seq, value_dim]`.
        query: `[batch, kv_head, group, seq, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        added: to the scores, `[batch, 1, 1, seq, keys]`; or none.
        scale: of the scores.
        into: contiguous tensors of the shapes of query, key and value, which are filled.
    """
    q, g = (t.flatten(2, 3).flatten(0, 1) for t in (query, by_out))
    k, v = key.flatten(0, 1), value.flatten(0, 1)
    by_query = into[0].flatten(2, 3).flatten(0, 1)
    by_key, by_value = into[1].flatten(0, 1), into[2].flatten(0, 1)
    scores = torch.bmm(q, k.transpose(1, 2))
    if added is None:
        scores.mul_(scale)
    else:
        by_head = scores.view(*query.shape[:4], -1)
        torch.add(added, by_head, alpha=scale, out=by_head)
    weights = scores.softmax(-1)
    torch.bmm(weights.transpose(1, 2), g, out=by_value)
    by_weights = torch.bmm(g, v.transpose(1, 2))
    by_scores = torch.ops.aten._softmax_backward_data(by_weights, weights, -1, weights.dtype)
    torch.bmm(by_scores, k, out=by_query)
    torch.bmm(by_scores.transpose(1, 2), q, out=by_key)


def _in_blocks(
    by_out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: AttentionMask,
    added: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of long rows, a block of queries with the keys it sees; arguments are `_multiply`'s."""
    by_query = query.new_empty(query.shape)
    # What blocks add up is rounded once, at the end.
    by_key, by_value = (t.new_zeros(t.shape, dtype=torch.float32) for t in (key, value))
    for first, end, seen in mask.blocks(BLOCK):
        for row in range(len(query)):
            part = slice(row, row + 1)
            q, g = query[part, :, :, first:end], by_out[part, :, :, first:end]
            k, v = key[part, :, :seen], value[part, :, :seen]
            here = None if added is None else added[part, :, :, first:end, :seen]
            into = q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)
            _multiply(g, q, k, v, here, scale, into)
            by_query[part, :, :, first:end] = into[0]
            by_key[part, :, :seen] += into[1]
            by_value[part, :, :seen] += into[2]
    return by_query, by_key.to(key.dtype), by_value.to(value.dtype)


def _is_long(query: Tensor, key: Tensor) -> bool:
    """Whether a row and key/value head have more than `LARGEST` scores."""
    return query.shape[1] // key.shape[1] * query.shape[2] * key.shape[2] > LARGEST
