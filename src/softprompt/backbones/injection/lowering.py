"""Prompts as tensors that a call uses: what each becomes by the backbone's own frozen layers."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from softprompt.backbones.attention.interface import AttentionCall, Recorder
from softprompt.backbones.injection.compatibility import stands_in_text
from softprompt.backbones.injection.vision_lowering import VisualParts, lower_visual
from softprompt.backbones.inspection import AttentionSite, ModelMap, input_weight, intercepted
from softprompt.backbones.runtime.fsdp import whole_in_backward
from softprompt.backbones.runtime.training_mode import without_checkpointing
from softprompt.prompts.placements import AttentionShape, KeyValues, SlotEmbeddings
from softprompt.prompts.prompt import Prompt

Lowered = tuple[KeyValues, ...] | SlotEmbeddings | VisualParts
"""A prompt as a call uses it."""


def lower(prompt: Prompt, model_map: ModelMap, as_tokens: bool) -> Lowered:
    """A prompt as key/values where that is exact: soft tokens before a decoder go through it once.

    Args:
        prompt: the prompt.
        model_map: of the backbone.
        as_tokens: run deep visual prompts as tokens, the paper's own formulation.
    """
    if prompt.card.placement == "image":
        assert model_map.vision is not None
        return lower_visual(prompt, model_map.vision, as_tokens)
    placed = prompt()
    if isinstance(placed, tuple) or model_map.encodes or stands_in_text(prompt):
        return placed  # type: ignore[return-value]
    like = input_weight(model_map.model)
    return observe(model_map, {"inputs_embeds": placed.vectors.to(like)[None]})


def observe(model_map: ModelMap, inputs: dict[str, Tensor]) -> tuple[KeyValues, ...]:
    """The model's own key/values on an input of batch 1, for every site; differentiable.

    Args:
        model_map: of the backbone.
        inputs: for the base model, e.g. `input_ids` or `inputs_embeds` of batch 1.
    """
    model = model_map.model
    options = {"use_cache": False} if model_map.decodes else {}
    recorder = Recorder()
    with intercepted(model, recorder), without_checkpointing(model_map.checkpointable):
        model.base_model(**inputs, **options)
    by_module: dict[int, list[AttentionCall]] = {}
    for call in recorder.calls:
        whole_in_backward(call.module, (call.key, call.value))
        by_module.setdefault(id(call.module), []).append(call)
    # Attentions are listed in the order of their calls, so a shared module's calls are taken in turn.
    turns: dict[int, Iterator[AttentionCall]] = {m: iter(calls) for m, calls in by_module.items()}
    groups: dict[tuple[str, AttentionShape], list[tuple[AttentionSite, AttentionCall]]] = {}
    for attention in model_map.attentions:
        call = next(turns.get(id(attention.module), iter(())), None)
        if call is not None:
            groups.setdefault((attention.site, attention.shape), []).append((attention, call))
    return tuple(
        KeyValues(
            site,
            tuple(attention.layer for attention, _ in group),
            torch.stack([call.key[0] for _, call in group]),
            torch.stack([call.value[0] for _, call in group]),
        )
        for (site, _), group in groups.items()
    )


def key_values(lowered: Lowered | None) -> tuple[KeyValues, ...]:
    """The key/values among what prompts became."""
    if isinstance(lowered, VisualParts):
        return lowered.key_values
    return lowered if isinstance(lowered, tuple) else ()


def vectors(lowered: Sequence[Lowered | None]) -> list[Tensor | None]:
    """The soft tokens of each prompt that stand in the input."""
    return [entry.vectors if isinstance(entry, SlotEmbeddings) else None for entry in lowered]
