"""Finding a model's attentions by running it once on a few tokens, instead of a table of families."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention.interface import AttentionCall
from softprompt.backbones.attention.routing import recording, routed
from softprompt.backbones.inspection.spec import ENCODER_LEN, probe
from softprompt.backbones.loading.quantization import whole_in_backward
from softprompt.backbones.runtime.training_mode import without_checkpointing
from softprompt.prompts.placements import AttentionShape, KeyValues


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


@torch.no_grad()
def find_attentions(model: PreTrainedModel, size: tuple[int, int] | None = None) -> list[AttentionSite]:
    """Every attention that can be reached, in the order of its calls, by one pass over a few tokens.

    Of a model that reads pictures, over one of some size (None: its own).

    Models that compute attention on their own in a way that is not known here give an empty list.
    """
    with routed(model), recording(model) as recorder:
        probe(model, size)
    found: dict[str, list[tuple[nn.Module, AttentionShape]]] = {}
    for call in recorder.calls:
        shape = AttentionShape(call.key.shape[1], call.key.shape[3], call.value.shape[3])
        found.setdefault(_site(model, call), []).append((call.module, shape))
    sites = []
    for site, calls in found.items():
        own = [i for i in (getattr(module, "layer_idx", None) for module, _ in calls) if isinstance(i, int)]
        numbers = own if len(own) == len(calls) and own == sorted(set(own)) else range(len(calls))
        sites += [
            AttentionSite(site, layer, module, shape)
            for layer, (module, shape) in zip(numbers, calls, strict=True)
        ]
    return sites


def observe(
    model: PreTrainedModel, attentions: list[AttentionSite], inputs: dict[str, Tensor]
) -> list[KeyValues]:
    """The model's own key/values on an input of batch 1, for every site; differentiable.

    Args:
        model: the model.
        attentions: as `find_attentions` gives them.
        inputs: for the base model, e.g. `input_ids` or `inputs_embeds` of batch 1.
    """
    decodes = any(attention.site == "decoder" for attention in attentions)
    options = {"use_cache": False} if decodes else {}
    with routed(model), recording(model) as recorder, without_checkpointing(model):
        model.base_model(**inputs, **options)
    by_module: dict[int, list[AttentionCall]] = {}
    for call in recorder.calls:
        whole_in_backward(call.module, (call.key, call.value))
        by_module.setdefault(id(call.module), []).append(call)
    # Attentions are listed in the order of their calls, so a shared module's calls are taken in turn.
    turns: dict[int, Iterator[AttentionCall]] = {m: iter(calls) for m, calls in by_module.items()}
    groups: dict[tuple[str, AttentionShape], list[tuple[AttentionSite, AttentionCall]]] = {}
    for attention in attentions:
        call = next(turns.get(id(attention.module), iter(())), None)
        if call is not None:
            groups.setdefault((attention.site, attention.shape), []).append((attention, call))
    return [
        KeyValues(
            site,
            tuple(attention.layer for attention, _ in group),
            torch.stack([call.key[0] for _, call in group]),
            torch.stack([call.value[0] for _, call in group]),
        )
        for (site, _), group in groups.items()
    ]


def find_stack(model: PreTrainedModel, attentions: list[AttentionSite]) -> nn.Module:
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
        causal = call.kwargs.get("is_causal")
        causal = getattr(call.module, "is_causal", True) if causal is None else causal
        return "decoder" if causal else "encoder"
    if call.query.shape[2] == ENCODER_LEN:
        return "encoder"
    return "cross" if call.key.shape[2] == ENCODER_LEN else "decoder"
