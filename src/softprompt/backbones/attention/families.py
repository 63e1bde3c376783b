"""Families that compute attention themselves: DeBERTa v1, DeBERTa v2 (and v3), MPNet, Data2Vec of pictures.

They add biases of their own to the scores and never ask for a registered attention function. Where attention
calls are intercepted, a forward that asks takes the place of the module's own, for that call alone. Prompt
columns get no relative bias.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, finfo, nn

from softprompt.backbones.attention.interface import AttentionCall, answered
from softprompt.backbones.attention.mask import AttentionMask
from softprompt.backbones.dispatch import Override
from softprompt.errors import BackboneError


def self_computed(modules: Iterable[nn.Module]) -> dict[nn.Module, Override]:
    """Overrides under which the self-computed attentions among these modules ask what intercepts them."""
    return {
        module: _asking(module, forward)
        for module in modules
        if (forward := _FORWARDS.get((type(module).__module__, type(module).__name__))) is not None
    }


def _asking(module: nn.Module, forward: Callable[..., Any]) -> Override:
    return lambda below, *args, **kwargs: forward(module, *args, **kwargs)


def _mpnet(
    module: Any,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    position_bias: Tensor | None = None,
    output_attentions: bool = False,
    **kwargs: Any,
) -> tuple[Tensor, ...]:
    """MPNet: one table of relative biases for all layers, computed by the encoder."""
    shape = (*hidden_states.shape[:-1], -1, module.attention_head_size)
    query, key, value = (
        linear(hidden_states).view(shape).transpose(1, 2) for linear in (module.q, module.k, module.v)
    )
    scale = module.attention_head_size**-0.5
    out, weights = _intercepted(module, query, key, value, attention_mask, position_bias, scale)
    out = module.o(out.flatten(2))
    return (out, weights) if output_attentions else (out,)  # type: ignore[return-value]


def _deberta(
    module: Any,
    hidden_states: Tensor,
    attention_mask: Tensor,
    output_attentions: bool = False,
    query_states: Tensor | None = None,
    relative_pos: Tensor | None = None,
    rel_embeddings: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """DeBERTa v1: content-position biases from this layer's own projections."""
    _no_other_queries(query_states)
    packed = module.transpose_for_scores(module.in_proj(hidden_states))
    query, key, value = packed.chunk(3, dim=-1)
    query = query + module.transpose_for_scores(module.q_bias[None, None])
    value = value + module.transpose_for_scores(module.v_bias[None, None])
    factor = 1 + len(module.pos_att_type)
    query = query / math.sqrt(query.shape[-1] * factor)
    bias = None
    if module.relative_attention and rel_embeddings is not None and relative_pos is not None:
        table = module.pos_dropout(rel_embeddings)
        bias = module.disentangled_att_bias(query, key, relative_pos, table, factor)
    out, weights = _intercepted(module, query, key, value, attention_mask.bool(), bias, 1.0)
    return out.flatten(2), weights if output_attentions else None


def _deberta_v2(
    module: Any,
    hidden_states: Tensor,
    attention_mask: Tensor,
    output_attentions: bool = False,
    query_states: Tensor | None = None,
    relative_pos: Tensor | None = None,
    rel_embeddings: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """DeBERTa v2 and v3: as v1, with position buckets, and shared projections in v3."""
    _no_other_queries(query_states)
    batch, heads = hidden_states.shape[0], module.num_attention_heads
    query, key, value = (
        module.transpose_for_scores(linear(hidden_states), heads)  # [batch * head, seq, key_dim]
        for linear in (module.query_proj, module.key_proj, module.value_proj)
    )
    factor = 1 + ("c2p" in module.pos_att_type) + ("p2c" in module.pos_att_type)
    bias = None
    if module.relative_attention:
        table = module.pos_dropout(rel_embeddings)
        bias = module.disentangled_attention_bias(query, key, relative_pos, table, factor)
    bias = bias.unflatten(0, (batch, heads)) if isinstance(bias, Tensor) else None
    query, key, value = (tensor.unflatten(0, (batch, heads)) for tensor in (query, key, value))
    scale = 1 / math.sqrt(query.shape[-1] * factor)
    out, weights = _intercepted(module, query, key, value, attention_mask.bool(), bias, scale)
    return out.flatten(2), weights if output_attentions else None


def _data2vec_vision(
    module: Any,
    hidden_states: Tensor,
    output_attentions: bool = False,
    relative_position_bias: Tensor | None = None,
    interpolate_pos_encoding: bool = False,
    resolution: tuple[int, int] | None = None,
) -> tuple[Tensor, ...]:
    """Data2Vec of pictures: a bias for each pair of places, of the layer's own or of all layers.

    The bias is the mask, as in BEiT, and counts the picture's own tokens. Without a resolution, tokens are
    read that have no place.
    """
    shape = (*hidden_states.shape[:-1], -1, module.attention_head_size)
    query, key, value = (
        linear(hidden_states).view(shape).transpose(1, 2)
        for linear in (module.query, module.key, module.value)
    )
    bias = relative_position_bias
    if module.has_relative_position_bias and resolution is not None:
        window = tuple(side // module.config.patch_size for side in resolution)
        n_tokens = window[0] * window[1] + 1
        own = module.relative_position_bias(window, interpolate_pos_encoding, dim_size=n_tokens)
        bias = own if bias is None else own + bias
    scale = module.attention_head_size**-0.5
    out, weights = _intercepted(module, query, key, value, bias, None, scale)
    return (out.flatten(2), weights) if output_attentions else (out.flatten(2),)  # type: ignore[return-value]


_DATA2VEC = "transformers.models.data2vec.modeling_data2vec_vision"
_FORWARDS: dict[tuple[str, str], Callable[..., Any]] = {
    ("transformers.models.mpnet.modeling_mpnet", "MPNetSelfAttention"): _mpnet,
    ("transformers.models.deberta.modeling_deberta", "DisentangledSelfAttention"): _deberta,
    ("transformers.models.deberta_v2.modeling_deberta_v2", "DisentangledSelfAttention"): _deberta_v2,
    (_DATA2VEC, "Data2VecVisionSelfAttention"): _data2vec_vision,
    (_DATA2VEC, "Data2VecVisionSdpaSelfAttention"): _data2vec_vision,
}


def _intercepted(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    bias: Any,
    scale: float,
) -> tuple[Tensor, Tensor | None]:
    kwargs = {
        "position_bias": bias if isinstance(bias, Tensor) else None,
        "scaling": scale,
        "is_causal": False,
    }
    return answered(AttentionCall(_attend, "eager", module, query, key, value, mask, kwargs))


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    position_bias: Tensor | None,
    scaling: float,
    is_causal: bool,
) -> tuple[Tensor, Tensor]:
    """The arithmetic that the three families share; gives `[batch, seq, head, value_dim]` and weights."""
    assert not is_causal
    scores = query @ key.transpose(-1, -2) * scaling
    if position_bias is not None:
        scores = scores + position_bias
    scores = _across_heads(getattr(module, "head_logits_proj", None), scores)
    seen = AttentionMask.read(mask, kernel="eager", causal=is_causal, query=query, n_keys=key.shape[2])
    scores = seen.apply(scores, finfo(scores.dtype).min)
    weights = _across_heads(getattr(module, "head_weights_proj", None), module.dropout(scores.softmax(-1)))
    return (weights @ value).transpose(1, 2).contiguous(), weights


def _across_heads(between_heads: Callable[[Tensor], Tensor] | None, scores: Tensor) -> Tensor:
    """DeBERTa v1's talking heads, a linear map over the head axis."""
    if between_heads is None:
        return scores
    return between_heads(scores.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _no_other_queries(query_states: Tensor | None) -> None:
    if query_states is not None:
        raise BackboneError(
            "prompted", "a DeBERTa layer with queries of its own (z_steps)", "a model that reads one text"
        )
