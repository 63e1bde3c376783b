"""The layers of a model that reads pictures, as far as they take a picture's tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.dispatch import Forward, dispatching, overriding
from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.backbones.inspection.images import (
    noise_pictures,
    picture_inputs,
    picture_module,
    size_options,
    unmasked,
)
from softprompt.backbones.inspection.layers import list_items_around
from softprompt.backbones.inspection.probe import Recording, eval_mode
from softprompt.errors import BackboneError

_PICTURES = 2


@dataclass(frozen=True)
class VisionLayer:
    """One layer of a vision transformer.

    Args:
        module: the layer, which takes tokens.
        norm: the norm before the attention; None if the norm comes after the attention.
        attention: the attention module.
        n_tokens: number of tokens that enter the layer.
        width: of a token.
    """

    module: nn.Module
    norm: nn.Module | None
    attention: nn.Module
    n_tokens: int
    width: int


class NoLayers(Exception):
    """Why a model has no layers that take tokens: a relative clause about the model."""


def find_vision_layers(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], recording: Recording
) -> tuple[VisionLayer, ...]:
    """The layers around attentions, in the order of their calls.

    Raises:
        NoLayers: there are none, or they take something else than tokens.
    """
    if not attentions:
        raise NoLayers("which has no attention whose calls can be answered")
    entered = recording.entered
    layers = []
    for attention in (site.module for site in attentions):
        items = list(list_items_around(model, attention))
        if not items:
            raise NoLayers("whose layers are not in a list")
        layer = items[-1]  # the smallest: Swin has a list of stages, each with a list of layers
        tokens, reads = entered.get(layer), entered[attention]
        if tokens is None or tokens.ndim != 3:
            raise NoLayers("whose layers take no sequence of tokens")
        norms = [m for m in layer.children() if attention not in m.modules() and _gave_tensor(recording, m)]
        norm = next((m for m in norms if _same_rows(recording.gave[m], reads)), None)
        if norm is None and not _same_rows(tokens, reads):
            raise NoLayers("whose attention reads neither tokens nor their norm")
        layers.append(VisionLayer(layer, norm, attention, tokens.shape[1], tokens.shape[2]))
    if len({layer.module for layer in layers}) < len(layers):
        raise NoLayers("with several attentions in a layer")
    return tuple(layers)


@torch.no_grad()
def own_tokens(model: PreTrainedModel, layer: nn.Module, size: tuple[int, int]) -> Tensor:
    """Which tokens before a layer depend on the picture, `[token]`; the others are class tokens and such.

    Only the modules before the layer run.

    Raises:
        NoLayers: layers that do not run.
        BackboneError: tokens of several pictures in one row.
    """
    inputs = picture_inputs(model, noise_pictures(model, size, _PICTURES, seed=1))
    try:
        with eval_mode(model), unmasked(model), dispatching([layer]), overriding({layer: _stop}):
            picture_module(model)(**inputs, **size_options(model, size))
    except _EnteredError as entered:
        tokens = entered.tokens
        if len(tokens) % _PICTURES:
            raise BackboneError(
                "backbone",
                f"{model.config.model_type}, which puts the tokens of all pictures into one row",
                "a model that reads each picture as a row of its own",
            ) from None
        first, second = tokens.unflatten(0, (_PICTURES, -1))[:, 0]
        return (first != second).any(-1)
    raise NoLayers("whose layers do not run for every picture")


class _EnteredError(Exception):
    """Ends a pass where a layer begins."""

    def __init__(self, tokens: Tensor):
        self.tokens = tokens


def _stop(below: Forward, *args: Any, **kwargs: Any) -> Any:
    raise _EnteredError(next(x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)))


def _gave_tensor(recording: Recording, module: nn.Module) -> bool:
    return isinstance(recording.gave.get(module), Tensor)


def _same_rows(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same numbers in any order, zeros (the padding of windows) aside."""
    if a.shape == b.shape and torch.equal(a, b):
        return True
    if a.shape[-1] != b.shape[-1]:
        return False
    first, second = (x[x != 0].flatten().sort().values for x in (a, b))
    return first.shape == second.shape and torch.equal(first, second)
