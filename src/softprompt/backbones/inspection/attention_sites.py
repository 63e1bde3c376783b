"""The attentions of a model, found in one recorded pass instead of a table of families."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention import AttentionCall
from softprompt.backbones.inspection.images import has_pictures
from softprompt.backbones.inspection.probe import ENCODER_LEN, Recording, reads_forward
from softprompt.prompts import AttentionShape


@dataclass(frozen=True)
class AttentionSite:
    """One attention of a model: its place and its sizes.

    Each layer has its own, even if layers share one module (ALBERT's): the k-th with a module is the k-th
    call of that module in a pass.
    """

    site: str
    layer: int
    module: nn.Module
    shape: AttentionShape


def attention_sites(model: PreTrainedModel, recording: Recording) -> tuple[AttentionSite, ...]:
    """The attentions whose calls can be intercepted, in the order of their calls.

    A model that computes attention itself, in a way unknown to `attention/families.py`, has none.
    """
    by_site: dict[str, list[tuple[nn.Module, AttentionShape]]] = {}
    for call in recording.calls:
        shape = AttentionShape(call.key.shape[1], call.key.shape[3], call.value.shape[3])
        by_site.setdefault(_site(model, call), []).append((call.module, shape))
    # Some decoders leave causality to their mask and declare nothing, or the opposite (BigBird-Pegasus).
    # Others read what they are given both ways, with its picture, and go on from left to right (PaliGemma).
    if set(by_site) == {"encoder"} and model.can_generate() and (has_pictures(model) or reads_forward(model)):
        by_site = {"decoder": by_site["encoder"]}
    sites: list[AttentionSite] = []
    for site, calls in by_site.items():
        given = [i for i in (getattr(module, "layer_idx", None) for module, _ in calls) if isinstance(i, int)]
        numbers = given if len(given) == len(calls) and given == sorted(set(given)) else range(len(calls))
        sites += [
            AttentionSite(site, layer, module, shape)
            for layer, (module, shape) in zip(numbers, calls, strict=True)
        ]
    return tuple(sites)


def text_module(model: PreTrainedModel, attentions: Sequence[AttentionSite]) -> nn.Module:
    """The smallest module that contains these attentions and takes input embeddings."""
    names = {module: name for name, module in model.named_modules()}
    paths = [names[a.module].split(".") for a in attentions]
    for depth in range(min(map(len, paths)), -1, -1):
        if len({tuple(path[:depth]) for path in paths}) > 1:
            continue
        module = model.get_submodule(".".join(paths[0][:depth]))
        if "inputs_embeds" in inspect.signature(module.forward).parameters:
            return module
    return model


def _site(model: PreTrainedModel, call: AttentionCall) -> str:
    if not model.config.is_encoder_decoder:
        return "decoder" if _is_causal(call) else "encoder"
    if call.query.shape[2] == ENCODER_LEN:
        return "encoder"
    return "cross" if call.key.shape[2] == ENCODER_LEN else "decoder"


def _is_causal(call: AttentionCall) -> bool:
    """Whether an attention is causal: by its argument or attribute `is_causal`, else by its mask."""
    declared = call.kwargs.get("is_causal")
    declared = getattr(call.module, "is_causal", None) if declared is None else declared
    mask = call.mask
    if declared is None and isinstance(mask, Tensor) and mask.ndim == 4 and mask.shape[-1] > 1:
        first = mask[0, 0, 0]  # the row of the first token
        return not bool(first[1] if mask.dtype == torch.bool else first[1] == first[0])
    return True if declared is None else bool(declared)
