"""A model's attentions, as one recorded pass shows them, instead of a table of families."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention import AttentionCall
from softprompt.backbones.inspection.probe import ENCODER_LEN, Recording
from softprompt.prompts import AttentionShape


@dataclass(frozen=True)
class AttentionSite:
    """One attention of a model: where it stands and its sizes.

    Layers that share one module (ALBERT's) are sites of their own: the k-th that names a module is its
    k-th call in a pass.
    """

    site: str
    layer: int
    module: nn.Module
    shape: AttentionShape


def attention_sites(model: PreTrainedModel, recording: Recording) -> tuple[AttentionSite, ...]:
    """Every attention that can be reached, in the order of its calls.

    Models that compute attention on their own in a way that is not known here have none.
    """
    found: dict[str, list[tuple[nn.Module, AttentionShape]]] = {}
    for call in recording.calls:
        shape = AttentionShape(call.key.shape[1], call.key.shape[3], call.value.shape[3])
        found.setdefault(_site(model, call), []).append((call.module, shape))
    sites: list[AttentionSite] = []
    for site, calls in found.items():
        own = [i for i in (getattr(module, "layer_idx", None) for module, _ in calls) if isinstance(i, int)]
        numbers = own if len(own) == len(calls) and own == sorted(set(own)) else range(len(calls))
        sites += [
            AttentionSite(site, layer, module, shape)
            for layer, (module, shape) in zip(numbers, calls, strict=True)
        ]
    return tuple(sites)


def text_module(model: PreTrainedModel, attentions: Sequence[AttentionSite]) -> nn.Module:
    """The smallest module that holds these attentions and takes a text."""
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
    """Whether an attention reads from left to right: by its mask where that says so, else by its own word."""
    said = call.kwargs.get("is_causal")
    said = getattr(call.module, "is_causal", None) if said is None else said
    mask = call.mask
    if said is None and isinstance(mask, Tensor) and mask.ndim == 4 and mask.shape[-1] > 1:
        first = mask[0, 0, 0]  # of the first token, also where all have the same
        return not bool(first[1] if mask.dtype == torch.bool else first[1] == first[0])
    return True if said is None else bool(said)
