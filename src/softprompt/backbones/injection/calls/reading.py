"""How soft tokens may enter a model, before its text.

Key/values are the fast way: soft tokens go through the layers alone, once. That is exact where attention
alone connects tokens. State-space layers, linear attention, convolutions and token shifts would carry more
from the soft tokens to the text than key/values hold; there the soft tokens are columns of the input. No list
of families is kept: each backbone is tried once, and both ways are compared with embeddings in front of the
text.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from softprompt.backbones.attention import AttentionCall, answering
from softprompt.backbones.dispatch import Gate
from softprompt.backbones.injection.calls.session import Session
from softprompt.backbones.injection.lowering import input_weight
from softprompt.backbones.inspection import (
    COMPRESSED_KEYS,
    PER_LAYER_INPUTS,
    PICTURES_NUMBERED_APART,
    ModelMap,
    eval_mode,
    has_pictures,
    reads_forward,
    word_of_soft_tokens,
    word_vectors,
)
from softprompt.backbones.runtime import rounds_inputs
from softprompt.errors import SoftpromptError, in_its_words
from softprompt.prompts import Prompt

N_SOFT, N_TEXT = 2, 2
FINE = 1e-3
"""Relative rounding below which a comparison shows what recurrent layers and convolutions carry."""
ONLY_IDS = "which takes tokens by their ids alone, and no embeddings"


@dataclass(frozen=True)
class SoftTokenWay:
    """How soft tokens enter a model before its text.

    Args:
        as_columns: as columns of the input instead of key/values.
        why_not: why neither way is exact; None where one is.
        mixes_lengths: whether rows of one batch may have different numbers of soft tokens.
        mixes_none: whether such rows may be beside rows without any.
    """

    as_columns: bool
    why_not: str | None = None
    mixes_lengths: bool = True
    mixes_none: bool = True


def soft_token_way(model_map: ModelMap, gate: Gate, make: Callable[[int], Prompt]) -> SoftTokenWay:
    """Try both ways on two soft tokens and two tokens of text, each against the four as one input.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
        make: gives a prompt of so many soft tokens.
    """
    model = model_map.model
    if model_map.spec.family in PICTURES_NUMBERED_APART:
        return SoftTokenWay(False, "whose pictures have positions that a text before them does not move")
    both = model_map.spec.is_encoder_decoder
    if both and "encoder" not in model_map.stacks:
        return SoftTokenWay(False, "whose encoder reads no text that embeddings could stand before")
    stack = next(iter(model_map.stacks.values()))
    if "inputs_embeds" not in stack.signature.parameters:
        return SoftTokenWay(False, ONLY_IDS)
    try:
        with torch.no_grad(), eval_mode(model):
            soft = make(N_SOFT)
            if both:
                return _before_encoder(model_map, gate, soft, make(N_SOFT - 1))
            whole, changed = _as_one_input(model_map, gate, soft)
            known = stack.numbering != "unknown"
            # Two short runs of a model that rounds its inputs can agree by chance.
            exact = not rounds_inputs(model, model_map.quantised)
            alone = known and model_map.chosen_keys is None and exact
            if stack.site == "decoder" and model_map.attentions and alone and not changed:
                apart = _under(model_map, gate, soft, as_columns=False)
                same = _difference(apart, whole) <= _rounding(whole)
                if same and _attention_alone_connects(model_map, gate, whole):
                    return SoftTokenWay(False)
            differs = _difference(_under(model_map, gate, soft, as_columns=True), whole)
            if differs > _rounding(whole):
                return SoftTokenWay(True, f"whose states differ by {differs:.0%} of their size")
            _run_whole(model_map, gate, soft)
            mixed = (exact and _mixes(model_map, gate, soft, other) for other in (make(N_SOFT - 1), None))
            return SoftTokenWay(True, None, *mixed)
    except (SoftpromptError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        why = f"which does not take input embeddings as it takes tokens ({in_its_words(error)})"
        return SoftTokenWay(False, why)


def _attention_alone_connects(model_map: ModelMap, gate: Gate, whole: Tensor) -> bool:
    """Whether nothing else carries soft tokens to a text, where rounding is too coarse to show it.

    The states that a recurrent layer or a convolution hands on may be smaller than half precision's rounding
    of two different computations. Without the answers of its attentions, a text's states in two equal
    computations differ only by what something else has carried to them from other words in front.
    """
    if whole.dtype == torch.float32 and _rounding(whole) < FINE:
        return True

    def zeros(call: AttentionCall) -> tuple[Tensor, None]:
        batch, heads, length, _ = call.query.shape
        return call.value.new_zeros(batch, length, heads, call.value.shape[-1]), None

    text = _text(model_map)
    modules = {attention.module for attention in model_map.attentions}
    found = []
    with gate.turn(alone=False), gate.calling(None), answering(dict.fromkeys(modules, zeros), modules):
        for front in (text, text.flip(-1)):
            with model_map.kept.hidden():
                states = _states(model_map, input_ids=torch.cat([front, text], dim=-1))
            found.append(states[:, -N_TEXT:])
    once, again = (states.float() for states in found)
    apart = (once - again).norm(dim=-1) / again.norm(dim=-1)
    # Equal computations are equal to the bit, but for experts whose tokens are summed in another order.
    return float(apart.max()) <= torch.finfo(whole.dtype).eps / 16


def _before_encoder(model_map: ModelMap, gate: Gate, soft: Prompt, shorter: Prompt) -> SoftTokenWay:
    """Try soft tokens before an encoder's text whose states a decoder reads."""
    expected = _as_one_input(model_map, gate, soft)[0]
    differs = _difference(_under(model_map, gate, soft, as_columns=False), expected)
    if differs > _rounding(expected):
        return SoftTokenWay(False, f"whose decoder's states differ by {differs:.0%} of their size")
    mixed = (_mixes(model_map, gate, soft, other) for other in (shorter, None))
    return SoftTokenWay(False, None, *mixed)


def why_no_slots(model_map: ModelMap, gate: Gate) -> str | None:
    """Why a text cannot enter as embeddings, some of which are a prompt's own; None if it can. Tried once.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
    """
    stack = next(iter(model_map.stacks.values()), None)  # the encoder, where there are two
    if stack is None:
        return None
    if "inputs_embeds" not in stack.signature.parameters:
        return ONLY_IDS
    try:
        with torch.no_grad(), eval_mode(model_map.model), gate.turn(alone=False), gate.calling(None):
            words = word_vectors(model_map.model.get_input_embeddings(), _text(model_map))
            mask = torch.ones(words.shape[:2], dtype=torch.long, device=words.device)
            stack.module(inputs_embeds=words, attention_mask=mask)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return f"which does not take input embeddings ({in_its_words(error)})"
    return None


def why_no_prefix(model_map: ModelMap, gate: Gate, make: Callable[[int], Prompt]) -> str | None:
    """Why key/values before a decoder's text would not be what the model's own cache of them is; None if they
    are.

    Families that bias attention by distance, choose among keys, or compress them see more of a key than the
    attention function is given. Nothing is run where it was given nothing else. Where a family's cache holds
    something else than key/values, nothing can be compared, and the attention function is trusted.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
        make: gives a prefix of so many positions, in every layer.
    """
    if "encoder" in model_map.stacks or model_map.stacks["decoder"].numbering == "unknown":
        return None
    compressed = _compressed(model_map)
    if compressed is not None or (model_map.attends_plainly and model_map.chosen_keys is None):
        return compressed
    with torch.no_grad(), eval_mode(model_map.model):
        prefix = make(N_SOFT)
        generator = torch.Generator().manual_seed(0)
        for parameter in prefix.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        try:
            expected = _behind_own_cache(model_map, gate, prefix)
        except Exception:
            return None
        differs = _difference(_under(model_map, gate, prefix, as_columns=False), expected)
        if differs <= _rounding(expected):
            return None
        with gate.turn(alone=False), gate.calling(None):
            if not reads_forward(model_map.model):  # a text behind a cache is read in another way
                return None
    return (
        "whose attention takes more of a key than the attention function is given (its states differ by "
        f"{differs:.0%} of their size from those behind its own cache)"
    )


def _compressed(model_map: ModelMap) -> str | None:
    """Why key/values are not all that a text is to later tokens; a short run does not show it."""
    try:
        layers = DynamicCache(config=model_map.model.config).layers
    except Exception:  # the family has a cache of another kind, and nothing to be seen in it
        return None
    if not any(hasattr(layer, COMPRESSED_KEYS) for layer in layers):
        return None
    return "whose attention also reads keys that each sum up several tokens, which a prefix does not have"


def _behind_own_cache(model_map: ModelMap, gate: Gate, prefix: Prompt) -> Tensor:
    """States of the text behind a cache that holds a prefix, `[1, seq, hidden]`."""
    model, weight, text = model_map.model, input_weight(model_map), _text(model_map)
    with gate.turn(alone=False), gate.calling(None), model_map.kept.hidden():
        cache = DynamicCache(config=model.config)
        placed = prefix()
        assert isinstance(placed, tuple)
        for block in placed:
            for i, layer in enumerate(block.layers):
                cache.update(block.keys[i][None].to(weight), block.values[i][None].to(weight), layer)
        options: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
        options["attention_mask"] = torch.ones(1, N_SOFT + N_TEXT, dtype=torch.long, device=text.device)
        if model_map.stacks["decoder"].numbering == "ids":
            first = N_SOFT + model_map.spec.first_position
            options["position_ids"] = torch.arange(first, first + N_TEXT, device=text.device)[None]
        return model_map.base(input_ids=text, **options).last_hidden_state


def _text(model_map: ModelMap) -> Tensor:
    weight = input_weight(model_map)
    vocab = min(len(weight), model_map.spec.vocab)
    return torch.tensor([[vocab // 3, vocab // 2]], device=weight.device)


def _under(model_map: ModelMap, gate: Gate, soft: Prompt, as_columns: bool) -> Tensor:
    """States of the text under soft tokens, `[1, seq, hidden]`."""
    session = Session(model_map, gate, [soft], None, as_columns=as_columns)
    with session.opened(), session.call():
        return _states(model_map, input_ids=_text(model_map))


def _run_whole(model_map: ModelMap, gate: Gate, soft: Prompt) -> None:
    """Run the model with its own head, which may read more than the last states (ProphetNet's)."""
    session = Session(model_map, gate, [soft], None, as_columns=True)
    with session.opened(), session.call(), torch.enable_grad():  # Reformer runs without gradients alone
        model_map.model(input_ids=_text(model_map), **_options(model_map, 1, N_TEXT))


def _as_one_input(model_map: ModelMap, gate: Gate, soft: Prompt) -> tuple[Tensor, bool]:
    """States of the text behind embeddings, and whether the model changed its input in place."""
    model, weight = model_map.model, input_weight(model_map)
    with gate.turn(alone=False), gate.calling(None), model_map.kept.hidden():
        placed = soft()
        assert not isinstance(placed, tuple)
        words = word_vectors(model.get_input_embeddings(), _text(model_map))
        embeds = torch.cat([placed.vectors.to(weight)[None], words], dim=1)
        given = embeds.clone()
        mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
        stack = next(iter(model_map.stacks.values()))
        if model_map.spec.is_encoder_decoder:  # FSMT's decoder is causal only beside ids
            encoder = model_map.stacks["encoder"].module
            encoded = encoder(input_ids=None, inputs_embeds=given, attention_mask=mask)
            states = _states(
                model_map, input_ids=_text(model_map), encoder_outputs=encoded, attention_mask=mask
            )
        elif stack.takes_per_layer_inputs:
            ids = nn.functional.pad(_text(model_map), (N_SOFT, 0), value=word_of_soft_tokens(model))
            second = {PER_LAYER_INPUTS: stack.per_layer_inputs(ids)}
            states = _states(model_map, inputs_embeds=given, attention_mask=mask, **second)
        else:
            states = _states(model_map, inputs_embeds=given, attention_mask=mask)
    return states[:, -N_TEXT:], not torch.equal(embeds, given)


def _states(model_map: ModelMap, **inputs: Any) -> Tensor:
    """The last states, or logits where a model gives no states, `[batch, seq, hidden]`.

    A decoder that has an encoder reads the same text as it.
    """
    batch, length = next(iter(inputs.values())).shape[:2]
    if model_map.spec.is_encoder_decoder:
        inputs["decoder_input_ids"] = _text(model_map).expand(batch, -1)
    output = model_map.base(**inputs, **_options(model_map, batch, length))
    states = getattr(output, "last_hidden_state", None)
    return output.logits if states is None else states


def _mixes(model_map: ModelMap, gate: Gate, longer: Prompt, other: Prompt | None) -> bool:
    """Whether a row with fewer soft tokens than another row's, or none, has the states that it has alone."""
    text = _text(model_map)

    def states(prompts: list[Prompt | None], rows: list[int] | None) -> Tensor:
        session = Session(model_map, gate, prompts, rows, as_columns=True)
        with session.opened(), session.call():
            return _states(model_map, input_ids=text.expand(len(prompts), -1))

    mixed, alone = states([longer, other], [0, 1]), states([other], None)
    return _difference(mixed[1:], alone) <= _rounding(alone)


def _options(model_map: ModelMap, batch: int, length: int) -> dict[str, Any]:
    """No cache, and for tokens of a text, the kind that a model takes them for only where it is told."""
    takes = any("use_cache" in stack.signature.parameters for stack in model_map.stacks.values())
    options: dict[str, Any] = {"use_cache": False} if takes else {}
    model = model_map.model
    if has_pictures(model) and "token_type_ids" in inspect.signature(model_map.base.forward).parameters:
        weight = input_weight(model_map)
        options["token_type_ids"] = torch.zeros(batch, length, dtype=torch.long, device=weight.device)
    return options


def _difference(came: Tensor, expected: Tensor) -> float:
    """By how much states differ, relative to their size."""
    apart = (came - expected).float().norm(dim=-1) / expected.float().norm(dim=-1)
    # In low precision rounding alone may send one of the tokens to another expert.
    return float(apart.max() if expected.dtype == torch.float32 else apart.median())


def _rounding(states: Tensor) -> float:
    """By how much states may differ by rounding alone, relative to their size."""
    if states.is_cuda and torch.get_float32_matmul_precision() != "highest":
        return max(0.02, torch.finfo(states.dtype).eps ** 0.5)
    return torch.finfo(states.dtype).eps ** 0.5
