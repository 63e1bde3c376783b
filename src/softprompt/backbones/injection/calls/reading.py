"""How soft tokens may enter a model, before its text.

Key/values are the fast way: soft tokens go through the layers alone, once. That is exact where attention
alone connects tokens. State-space layers, linear attention, convolutions and token shifts would carry more
from the soft tokens to the text than key/values hold; there the soft tokens are columns of the input. No list
of families is kept: each backbone is tried once, and both ways are compared with embeddings in front of the
text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from softprompt.backbones.dispatch import Gate
from softprompt.backbones.injection.calls.session import Session
from softprompt.backbones.injection.lowering import input_weight
from softprompt.backbones.inspection import ModelMap, eval_mode
from softprompt.backbones.runtime import rounds_inputs
from softprompt.errors import BackboneError, SoftpromptError
from softprompt.prompts import Prompt

N_SOFT, N_TEXT = 2, 2


@dataclass(frozen=True)
class SoftTokenWay:
    """How soft tokens enter a model before its text.

    Args:
        as_columns: as columns of the input instead of key/values.
        why_not: why neither way is exact; None where one is.
        mixes_lengths: whether rows of one batch may have different numbers of soft tokens.
    """

    as_columns: bool
    why_not: str | None = None
    mixes_lengths: bool = True


def soft_token_way(model_map: ModelMap, gate: Gate, make: Callable[[int], Prompt]) -> SoftTokenWay:
    """Try both ways on two soft tokens and two tokens of text, each against the four as one input.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
        make: gives a prompt of so many soft tokens.
    """
    model = model_map.model
    if any(hasattr(module, "rope_deltas") for module in model.modules()):
        return SoftTokenWay(False, "which keeps a text's position from one call to the next (rope_deltas)")
    if len(model_map.stacks) != 1:
        known = "an encoder and a decoder whose attention never calls the registered function"
        return SoftTokenWay(False, None if model_map.stacks else f"with {known}")
    (stack,) = model_map.stacks.values()
    try:
        with torch.no_grad(), eval_mode(model):
            soft = make(N_SOFT)
            whole, changed = _as_one_input(model_map, gate, soft)
            known = stack.numbering != "unknown"
            # Two short runs of a model that rounds its inputs can agree by chance.
            exact = not rounds_inputs(model, model_map.quantised)
            if stack.site == "decoder" and model_map.attentions and known and not changed and exact:
                apart = _under(model_map, gate, soft, as_columns=False)
                if _difference(apart, whole) <= _rounding(whole):
                    return SoftTokenWay(False)
            differs = _difference(_under(model_map, gate, soft, as_columns=True), whole)
            if differs > _rounding(whole):
                return SoftTokenWay(True, f"whose states differ by {differs:.0%} of their size")
            _run_whole(model_map, gate, soft)
            mixes = exact and _mixes_lengths(model_map, gate, soft, make(N_SOFT - 1))
            return SoftTokenWay(True, None, mixes)
    except (SoftpromptError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        why = f"which does not take input embeddings as it takes tokens ({type(error).__name__}: {reason})"
        return SoftTokenWay(False, why)


def why_no_prefix(model_map: ModelMap, gate: Gate, make: Callable[[int], Prompt]) -> str | None:
    """Why key/values before a decoder's text would not be what the model's own cache of them is; None if they
    are.

    Families that bias attention by distance, choose among keys, or compress them see more of a key than the
    attention function is given. Where the family's cache holds something else than key/values, nothing can be
    compared, and the attention function is trusted.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
        make: gives a prefix of so many positions, in every layer.
    """
    if "encoder" in model_map.stacks or model_map.stacks["decoder"].numbering == "unknown":
        return None
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
    return (
        "whose attention takes more of a key than the attention function is given (its states differ by "
        f"{differs:.0%} of their size from those behind its own cache)"
    )


def _behind_own_cache(model_map: ModelMap, gate: Gate, prefix: Prompt) -> Tensor:
    """States of the text behind a cache that holds a prefix, `[1, seq, hidden]`."""
    model, weight, text = model_map.model, input_weight(model_map), _text(model_map)
    with gate.turn(alone=False), gate.calling(None):
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
        return model.base_model(input_ids=text, **options).last_hidden_state


def refuse(model_map: ModelMap, why: str) -> BackboneError:
    """The error of soft tokens on a backbone that takes them in no way."""
    return BackboneError(
        "prompted",
        f"soft tokens before the text of {model_map.spec.name} ({model_map.spec.family}), {why}",
        "a model that reads embeddings before a text as it reads tokens",
        "use prefix_tuning or p_tuning_v2, which put key/values into its attentions",
    )


def refuse_prefix(model_map: ModelMap, why: str) -> BackboneError:
    """The error of key/values on a backbone whose attention is not a function of them alone."""
    return BackboneError(
        "prompted",
        f"key/values before the text of {model_map.spec.name} ({model_map.spec.family}), {why}",
        "a model whose attention is a function of queries, keys and values",
        "use prompt_tuning, whose soft tokens are part of the input there",
    )


def refuse_lengths(model_map: ModelMap) -> BackboneError:
    """The error of rows with different numbers of soft tokens where the model counts positions by columns."""
    return BackboneError(
        "prompted",
        f"rows with different numbers of soft tokens before the text of {model_map.spec.name}, whose states "
        "change with masked columns before a row",
        "soft tokens of one number in all rows",
        "give every row a prompt of that length, or run rows of each length by themselves",
    )


def _text(model_map: ModelMap) -> Tensor:
    weight = input_weight(model_map)
    vocab = min(len(weight), model_map.spec.vocab)
    return torch.tensor([[vocab // 3, vocab // 2]], device=weight.device)


def _under(model_map: ModelMap, gate: Gate, soft: Prompt, as_columns: bool) -> Tensor:
    """States of the text under soft tokens, `[1, seq, hidden]`."""
    session = Session(model_map, gate, [soft], None, as_columns=as_columns)
    with session.opened(), session.call():
        return model_map.model.base_model(
            input_ids=_text(model_map), **_no_cache(model_map)
        ).last_hidden_state


def _run_whole(model_map: ModelMap, gate: Gate, soft: Prompt) -> None:
    """Run the model with its own head, which may read more than the last states (ProphetNet's)."""
    session = Session(model_map, gate, [soft], None, as_columns=True)
    with session.opened(), session.call():
        model_map.model(input_ids=_text(model_map), **_no_cache(model_map))


def _as_one_input(model_map: ModelMap, gate: Gate, soft: Prompt) -> tuple[Tensor, bool]:
    """States of the text behind embeddings, and whether the model changed its input in place."""
    model, weight = model_map.model, input_weight(model_map)
    with gate.turn(alone=False), gate.calling(None):
        placed = soft()
        assert not isinstance(placed, tuple)
        words = model.get_input_embeddings()(_text(model_map))
        embeds = torch.cat([placed.vectors.to(weight)[None], words], dim=1)
        given = embeds.clone()
        mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
        output = model.base_model(inputs_embeds=given, attention_mask=mask, **_no_cache(model_map))
    return output.last_hidden_state[:, -N_TEXT:], not torch.equal(embeds, given)


def _mixes_lengths(model_map: ModelMap, gate: Gate, longer: Prompt, shorter: Prompt) -> bool:
    """Whether rows with fewer soft tokens than another row's, or none, have the states they have alone."""
    text = _text(model_map)

    def states(prompts: list[Prompt | None], rows: list[int] | None) -> Tensor:
        session = Session(model_map, gate, prompts, rows, as_columns=True)
        with session.opened(), session.call():
            ids = text.expand(len(prompts), -1)
            return model_map.model.base_model(input_ids=ids, **_no_cache(model_map)).last_hidden_state

    mixed = states([longer, shorter, None], [0, 1, 2])
    alone = torch.cat([states([shorter], None), states([None], None)])
    return _difference(mixed[1:], alone) <= _rounding(alone)


def _no_cache(model_map: ModelMap) -> dict[str, Any]:
    takes = any("use_cache" in stack.signature.parameters for stack in model_map.stacks.values())
    return {"use_cache": False} if takes else {}


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
