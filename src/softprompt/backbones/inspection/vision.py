"""The layers of a model that reads pictures, found in one recorded pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention import AttentionCall, intercepting
from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.backbones.inspection.families import NORM_OUTSIDE, VISION_FAMILIES
from softprompt.backbones.inspection.images import patch_conv, size_options
from softprompt.backbones.inspection.layers import list_items_around, no_list_of_layers
from softprompt.backbones.inspection.probe import Recording
from softprompt.errors import BackboneError
from softprompt.prompts import KeyValues


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


class Vision:
    """A model that reads pictures.

    Args:
        model: the model.
        attentions: its attentions, in the order of their calls.
        size: height and width of the pictures, in pixels.
        recording: of one pass.

    Raises:
        BackboneError: layers outside of a ModuleList, or an attention that does not read tokens.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        attentions: Sequence[AttentionSite],
        size: tuple[int, int],
        recording: Recording,
    ):
        self.model = model
        self.size = size
        self.attentions = list(attentions)
        self.conv = patch_conv(model)
        self.state_size = recording.output.last_hidden_state.shape[-1]
        entered = recording.entered
        layers = []
        for attention in (site.module for site in self.attentions):
            items = list(list_items_around(model, attention))
            if not items:
                raise no_list_of_layers(model.config.model_type)
            layer = items[-1]  # the smallest: Swin has a list of stages, each with a list of layers
            tokens, reads = entered[layer], entered[attention]
            norms = [m for m in layer.children() if isinstance(m, nn.LayerNorm) and m in recording.gave]
            norm = next((m for m in norms if _same_rows(recording.gave[m], reads)), None)
            if norm is None and not _same_rows(tokens, reads):
                raise BackboneError(
                    "backbone",
                    f"{self.model.config.model_type}, whose attention reads neither tokens nor their norm",
                    VISION_FAMILIES,
                )
            layers.append(VisionLayer(layer, norm, attention, tokens.shape[1], tokens.shape[2]))
        self.layers = tuple(layers)
        height, width = (side // patch for side, patch in zip(self.size, self.patch, strict=True))
        self.n_special = self.layers[0].n_tokens - height * width
        # The attention of a windowed layer takes each window as a row of the batch.
        self.windowed = any(entered[layer.attention].shape[1] != layer.n_tokens for layer in layers)

    @property
    def patch(self) -> tuple[int, int]:
        """Height and width of a patch in pixels."""
        height, width = self.conv.kernel_size
        return height, width

    @property
    def base(self) -> nn.Module:
        """The module that takes pixels and returns the last states."""
        return self.model.base_model

    @cached_property
    def conv_tensors(self) -> tuple[str, ...]:
        """Names of the patch projection's parameters in the model."""
        own = {id(parameter) for parameter in self.conv.parameters()}
        return tuple(name for name, parameter in self.model.named_parameters() if id(parameter) in own)

    def finished(self, states: Tensor) -> Tensor:
        """The last states after the norm that some families keep outside of the base model (CLIP)."""
        name = NORM_OUTSIDE.get(self.model.config.model_type)
        return states if name is None else getattr(self.base, name)(states)

    def options(self, pixel_values: Tensor) -> dict[str, Any]:
        """The keywords with which the model reads pictures of this size."""
        return size_options(self.model, (pixel_values.shape[-2], pixel_values.shape[-1]))

    def project(self, layer: int, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values that a layer computes from tokens before it; differentiable.

        Args:
            layer: its number.
            vectors: `[prompt, hidden]`.

        Returns:
            Keys and values, `[kv_head, prompt, head_dim]`.
        """
        call = self.read_attention(layer, vectors[None])
        return call.key[0], call.value[0]

    def read_attention(self, layer: int, tokens: Tensor) -> AttentionCall:
        """The call that a layer's attention makes for tokens alone, `[batch, seq, hidden]`."""
        where = self.layers[layer]
        states = tokens if where.norm is None else where.norm(tokens)
        try:
            # Only the projections are needed: stop before the attention function runs.
            with intercepting(_stop):
                where.attention(states)
        except _Called as called:
            return called.call
        raise BackboneError(
            "visual_prompt_tuning",
            f"layer {layer}, whose attention never calls the registered function",
            "a family whose attention goes through transformers' AttentionInterface",
        )

    def key_values(self, tokens: Mapping[int, Tensor]) -> tuple[KeyValues, ...]:
        """The key/values of layers for tokens before those layers.

        Args:
            tokens: by layer, `[prompt, hidden]`.
        """
        pairs = {layer: self.project(layer, vectors) for layer, vectors in tokens.items()}
        groups: dict[torch.Size, list[int]] = {}
        for layer, (keys, _) in pairs.items():
            groups.setdefault(keys.shape, []).append(layer)
        return tuple(
            KeyValues(
                "encoder",
                tuple(group),
                torch.stack([pairs[layer][0] for layer in group]),
                torch.stack([pairs[layer][1] for layer in group]),
            )
            for group in groups.values()
        )


class _Called(Exception):
    """Ends a pass when an attention function is called."""

    def __init__(self, call: AttentionCall):
        self.call = call


def _stop(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
    raise _Called(call)


def _same_rows(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same numbers in any order, zeros (the padding of windows) aside."""
    if a.shape == b.shape and torch.equal(a, b):
        return True
    if a.shape[-1] != b.shape[-1]:
        return False
    first, second = (x[x != 0].flatten().sort().values for x in (a, b))
    return first.shape == second.shape and torch.equal(first, second)
