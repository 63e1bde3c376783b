"""Attention with a prompt's keys and values before the real ones."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones.attention.cpu_backward import attend, pays
from softprompt.backbones.attention.grouped import grouped
from softprompt.backbones.attention.interface import AttentionCall


def attend_with_prefix(
    call: AttentionCall,
    prefix_keys: Tensor,
    prefix_values: Tensor,
    valid: Tensor | None,
    prefix_bias: Tensor | None,
    widened: dict[Any, Any] | None,
) -> tuple[Tensor, Tensor | None]:
    """The stock attention with keys and values put before the real ones.

    Args:
        call: what the family asked for.
        prefix_keys: `[batch or 1, kv_head, prompt, key_dim]`.
        prefix_values: `[batch or 1, kv_head, prompt, value_dim]`.
        valid: which prompt columns each row sees, `[batch, prompt]`; None is all.
        prefix_bias: the relative position bias of the prompt columns, where the family has one.
        widened: masks already widened in this forward, since all layers share them; None widens anew.
    """
    query, key, value, mask = call.query, call.key, call.value, call.mask
    batch, q_len = query.shape[0], query.shape[2]
    kwargs = dict(call.kwargs)
    is_causal = kwargs.pop("is_causal", None)
    is_causal = getattr(call.module, "is_causal", True) if is_causal is None else is_causal
    bias = kwargs.get("position_bias")
    # Without a mask, sdpa counts a causal one from the top left: in a static cache's prefill the queries
    # meet more keys than there are queries, and the surplus is empty.
    causal = mask is None and call.kernel == "sdpa" and bool(is_causal) and q_len > 1
    if causal and key.shape[2] > q_len:
        key, value = key[:, :, :q_len], value[:, :, :q_len]
        bias = None if bias is None else bias[..., :q_len]
    if bias is not None:
        columns = prefix_bias if prefix_bias is not None else bias.new_zeros(1, bias.shape[1], 1, 1)
        columns = columns.to(bias.dtype).expand(-1, bias.shape[1], bias.shape[2], prefix_keys.shape[2])
        rows = max(columns.shape[0], bias.shape[0])
        kwargs["position_bias"] = torch.cat(
            [columns.expand(rows, -1, -1, -1), bias.expand(rows, -1, -1, -1)], dim=-1
        )
    # The two shorter ways below were measured on CPU only; elsewhere the stock kernel stays.
    ours = call.kernel == "sdpa" and bias is None and query.device.type == "cpu"
    # What the stock function refuses (softcap), it still gets to refuse.
    ours = ours and (mask is None or mask.shape[1] == 1) and kwargs.get("softcap") is None
    scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
    dropout = kwargs.get("dropout") or 0.0
    if ours and q_len == 1 and prefix_keys.shape[0] == 1 and valid is None and not dropout:
        shared = prefix_keys.to(key)[0], prefix_values.to(value)[0]
        return _decode(query * scale, key, value, mask, *shared), None
    n_prefix = prefix_keys.shape[2]

    def widen() -> Tensor | None:
        made = _widen(mask, valid, n_prefix, q_len, key, causal)
        if made is not None and made.dtype == torch.bool and mask is None and call.kernel == "eager":
            # Eager functions add their mask.
            made = torch.zeros_like(made, dtype=query.dtype).masked_fill(~made, torch.finfo(query.dtype).min)
        return made

    # Nothing can be told apart by its id in a compiled layer.
    wide = None if widened is None else (id(mask), id(valid), n_prefix, q_len, key.shape[2], causal)
    wider = _once(widened, wide, widen, mask)
    keys = torch.cat([prefix_keys.to(key).expand(batch, -1, -1, -1), key], dim=2)
    values = torch.cat([prefix_values.to(value).expand(batch, -1, -1, -1), value], dim=2)
    group = query.shape[1] // keys.shape[1]
    if not ours or group == 1:
        return call.stock(call.module, query, keys, values, wider, is_causal=False, **kwargs)
    packed_mask = None
    if wider is not None:
        packed_mask = _once(widened, ("grouped", wide), lambda: wider.repeat(1, 1, group, 1), wider)
    forward = partial(grouped, mask=packed_mask, dropout=dropout, scale=scale)
    if pays(query, keys, values, wider, dropout):
        return attend(forward, query, keys, values, wider, False, scale), None
    return forward(query, keys, values), None


def _once(
    kept: dict[Any, Any] | None, key: Any, make: Callable[[], Tensor | None], source: Tensor | None
) -> Tensor | None:
    """What `make` gives, made once for all layers where there is a place to keep it.

    Args:
        kept: the place, or None.
        key: of what is kept.
        make: makes it.
        source: kept beside, so that an id in the key is not given to another tensor meanwhile.
    """
    if kept is None:
        return make()
    if key not in kept:
        kept[key] = (make(), source)
    return kept[key][0]


def _decode(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, prefix_keys: Tensor, prefix_values: Tensor
) -> Tensor:
    """Attention of one new token per row, all rows reading one copy of the prompt's key/values.

    The same sum as over the concatenation, which would copy the prompt for every row, layer and token.

    Args:
        query: already scaled, `[batch, head, 1, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: boolean or additive, `[batch or 1, 1, 1, keys]`.
        prefix_keys: `[kv_head, prompt, key_dim]`.
        prefix_values: `[kv_head, prompt, value_dim]`.

    Returns:
        `[batch, 1, head, value_dim]`, as the stock functions give it.
    """
    batch, heads, _, dim = query.shape
    kv_heads, n_prefix = prefix_keys.shape[:2]
    group = heads // kv_heads
    grouped = query.view(batch, kv_heads, group, dim)
    own = grouped @ key.transpose(2, 3)
    if mask is not None:
        own = own.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else own + mask
    by_head = grouped.transpose(0, 1).reshape(kv_heads, batch * group, dim)
    shared = (by_head @ prefix_keys.transpose(1, 2)).view(kv_heads, batch, group, n_prefix).transpose(0, 1)
    weights = torch.cat([shared, own], dim=-1).softmax(-1, dtype=torch.float32).to(value.dtype)
    of_prefix = weights[..., :n_prefix].transpose(0, 1).reshape(kv_heads, batch * group, n_prefix)
    summed = (of_prefix @ prefix_values).view(kv_heads, batch, group, -1).transpose(0, 1)
    return (summed + weights[..., n_prefix:] @ value).reshape(batch, 1, heads, -1)


def _widen(
    mask: Tensor | None, valid: Tensor | None, n_prefix: int, q_len: int, key: Tensor, causal: bool
) -> Tensor | None:
    """The mask with columns for the prompt in front."""
    if mask is None:
        if valid is None and not causal:
            return None
        kv_len = key.shape[2]
        mask = torch.ones(1, 1, q_len, kv_len, dtype=torch.bool, device=key.device)
        if causal:
            mask = mask.tril()
    batch = mask.shape[0] if valid is None else valid.shape[0]
    columns = (
        torch.ones(1, n_prefix, dtype=torch.bool, device=mask.device)
        if valid is None
        else valid.to(mask.device)
    )
    columns = columns[:, None, None, :].expand(batch, mask.shape[1], mask.shape[2], n_prefix)
    if mask.dtype != torch.bool:
        shut = torch.finfo(mask.dtype).min
        columns = torch.zeros_like(columns, dtype=mask.dtype).masked_fill(~columns, shut)
    return torch.cat([columns, mask.expand(batch, -1, -1, -1)], dim=-1)
