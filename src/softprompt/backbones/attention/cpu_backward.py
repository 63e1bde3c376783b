"""The backward pass of attention in bfloat16 on CPU, where torch's own is slow.

torch's fused kernel has a fast forward pass, but its backward pass works through every row and head on its
own: for rows of a few dozen tokens it costs several times what a few batched matrix products cost
(`benchmarks/attention.py`). So the forward pass stays the stock one, to the last bit, and the backward pass
computes the weights again, a few rows at a time, and multiplies. Long rows are cut into blocks of queries,
each of which meets the keys up to the last that its mask shows it: half of a causal mask is never computed.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones.attention.grouped import grouped

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


def pays(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> bool:
    """Whether gradients will be asked for that are faster computed here.

    Args:
        query: `[batch, head, seq, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: boolean or additive, or none.
        dropout: share of weights dropped, which a second computation would draw anew.
    """
    if query.device.type != "cpu" or query.dtype not in DTYPES or dropout:
        return False
    if not (torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)):
        return False
    if query.shape[0] != key.shape[0] or query.shape[1] % key.shape[1]:
        return False
    if mask is not None and (mask.shape[1] != 1 or mask.requires_grad):
        return False
    q_len, n_keys = query.shape[2], key.shape[2]
    long = _is_long(query, key)
    if torch.compiler.is_compiling():  # a graph cannot ask what a mask holds; `_gradients` does
        return not long
    if long and sum((b - a) * n for a, b, n in _blocks(mask, q_len, n_keys)) > MUCH * q_len * n_keys:
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
    if torch.compiler.is_compiling():
        return _compiled_attention(query, key, value, mask, causal, scale)
    out = _Attention.apply(query, key, value, _or_causal(mask, causal, query, key), scale, forward)
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
        return *_gradients(by_out, query, key, value, mask, ctx.scale), None, None, None


_FORWARD = "(Tensor query, Tensor key, Tensor value, Tensor? mask, bool causal, float scale) -> Tensor"
_BACKWARD = (
    "(Tensor by_out, Tensor query, Tensor key, Tensor value, Tensor? mask, bool causal, float scale)"
    " -> (Tensor, Tensor, Tensor)"
)


@torch.library.custom_op("softprompt::attention", mutates_args=(), schema=_FORWARD)
def _compiled_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> Tensor:
    """Stock attention as one operation of a compiled graph, which gives it the backward pass above."""
    group = query.shape[1] // key.shape[1]
    if group > 1:
        mask = _or_causal(mask, causal, query, key)
        if mask is not None and mask.shape[2] > 1:
            mask = mask.repeat(1, 1, group, 1)
    return grouped(query, key, value, mask, scale, causal=causal and mask is None)


@_compiled_attention.register_fake
def _shape(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> Tensor:
    return query.new_empty(query.shape[0], query.shape[2], query.shape[1], value.shape[-1])


@torch.library.custom_op("softprompt::attention_backward", mutates_args=(), schema=_BACKWARD)
def _compiled_backward(
    by_out: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return _gradients(by_out, query, key, value, _or_causal(mask, causal, query, key), scale)


@_compiled_backward.register_fake
def _shapes(
    by_out: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.causal, ctx.scale = inputs
    ctx.save_for_backward(*tensors)


def _back(ctx: Any, by_out: Tensor) -> tuple[Tensor | None, ...]:
    by = _compiled_backward(by_out, *ctx.saved_tensors, ctx.causal, ctx.scale)
    return *by, None, None, None


_compiled_attention.register_autograd(_back, setup_context=_keep)


def _gradients(
    by_out: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by query, key and value, the weights computed again.

    Args:
        by_out: gradient by what attention gives, `[batch, seq, head, value_dim]`.
        query: `[batch, head, seq, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: boolean or additive, `[batch or 1, 1, seq or 1, keys]`; or none.
        scale: of the scores.
    """
    batch, heads, q_len, _ = query.shape
    kv_heads, n_keys = key.shape[1:3]
    group = heads // kv_heads
    by_out = by_out.transpose(1, 2)
    if mask is not None and mask.dtype == torch.bool and not (some := mask.any(-1, keepdim=True)).all():
        by_out = by_out * some  # what sees nothing is nothing, whatever it is made of
    added = None
    if mask is not None:
        added = _additive(mask, query.dtype)[:, :, None].expand(batch, 1, 1, q_len, n_keys)
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
    mask: Tensor | None,
    added: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of long rows, a block of queries with the keys it sees; arguments are `_multiply`'s."""
    by_query = query.new_empty(query.shape)
    # What blocks add up is rounded once, at the end.
    by_key, by_value = (t.new_zeros(t.shape, dtype=torch.float32) for t in (key, value))
    for first, end, seen in _blocks(mask, query.shape[3], key.shape[2]):
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


def _blocks(mask: Tensor | None, q_len: int, n_keys: int) -> list[tuple[int, int, int]]:
    """Blocks of queries: first, end, and how many keys, from the first on, some of them sees in some row.

    Args:
        mask: boolean or additive, `[batch or 1, 1, seq or 1, keys]`; or none.
        q_len: seq.
        n_keys: keys.
    """
    blocks = [(first, min(q_len, first + BLOCK), n_keys) for first in range(0, q_len, BLOCK)]
    if mask is None or mask.dtype != torch.bool or mask.shape[2] == 1:
        return blocks
    shown = mask[:, 0].any(0)
    last = [shown[first:end].any(0).nonzero() for first, end, _ in blocks]
    return [
        (first, end, int(columns[-1]) + 1 if len(columns) else n)
        for (first, end, n), columns in zip(blocks, last, strict=True)
    ]


def _or_causal(mask: Tensor | None, causal: bool, query: Tensor, key: Tensor) -> Tensor | None:
    """The mask, or where there is none and attention is causal, the one that says so."""
    if mask is not None or not causal:
        return mask
    shape = query.shape[2], key.shape[2]
    return torch.ones(shape, dtype=torch.bool, device=query.device).tril()[None, None]


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)
