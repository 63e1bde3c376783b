"""A model that reads pictures: its layers where it has some, its inputs and its last states."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.attention import AttentionCall
from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.backbones.inspection.families import CLASS_TOKEN, NORM_OUTSIDE
from softprompt.backbones.inspection.images import (
    first_weight,
    n_channels,
    patch_conv,
    picture_inputs,
    picture_module,
    reads_patches,
    size_options,
)
from softprompt.backbones.inspection.picture_layers import (
    NoLayers,
    VisionLayer,
    find_vision_layers,
    own_tokens,
)
from softprompt.backbones.inspection.probe import Recording, intercepted
from softprompt.errors import BackboneError
from softprompt.prompts import CLASS, PATCH, SPECIAL, KeyValues


class Vision:
    """A model that reads pictures.

    Args:
        model: the model.
        attentions: its attentions, in the order of their calls.
        size: height and width of the pictures, in pixels.
        recording: of one pass.

    Raises:
        BackboneError: a model that does not give its last states.
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
        self.base: nn.Module = picture_module(model)
        self.channels = n_channels(model)
        self.conv = patch_conv(recording.entered, self.channels, size)
        """The convolution that cuts square patches side by side out of the pixels, or None."""
        states = self.states(recording.output)
        self.state_size = states.shape[-1]
        self.layers: tuple[VisionLayer, ...] = ()
        self.why_no_layers: str | None = None
        """Why there are no layers that take tokens, a relative clause; None where there are."""
        self.n_special = self.n_behind = 0  # tokens before a picture's own (class, registers), and behind
        try:
            layers = find_vision_layers(model, attentions, recording)
            self.n_special, self.n_behind = _n_around(own_tokens(model, layers[0].module, size))
            self.layers = layers
        except NoLayers as error:
            self.why_no_layers = str(error)
            self.n_special = self._n_summaries(recording.output, states)
        self.n_tokens = self.layers[0].n_tokens if self.layers else states.shape[1]
        """Of a picture: those that enter the first layer, else those of the last states."""
        entered = recording.entered
        # The attention of a windowed layer takes each window as a row of the batch.
        self.windowed = any(
            entered[layer.attention].shape[:2] != entered[layer.module].shape[:2] for layer in self.layers
        )

    @property
    def patch(self) -> tuple[int, int]:
        """Height and width of a patch in pixels; 0 where patches are not cut side by side."""
        if self.conv is None:
            side = self.model.config.patch_size if reads_patches(self.model) else 0
            return side, side
        height, width = self.conv.kernel_size
        return height, width

    @property
    def class_attends(self) -> bool:
        """Whether a class token attends to all patches of a picture, in layers that can be watched."""
        return bool(self.n_special and self.layers) and self.conv is not None and not self.windowed

    @property
    def flattens_patches(self) -> bool:
        """Whether the model takes flattened patches in place of pictures."""
        return reads_patches(self.model)

    @property
    def weight(self) -> Tensor:
        """A weight whose device and precision are those of the pixels."""
        return first_weight(self.model) if self.conv is None else self.conv.weight

    @cached_property
    def conv_tensors(self) -> tuple[str, ...]:
        """Names of the patch projection's parameters in the model."""
        own = set() if self.conv is None else {id(parameter) for parameter in self.conv.parameters()}
        return tuple(name for name, parameter in self.model.named_parameters() if id(parameter) in own)

    def states(self, output: Any) -> Tensor:
        """The last states, `[picture, token, hidden]`, of the model's output.

        A map of states becomes a row of tokens, behind the pooled state where the model gives one.

        Raises:
            BackboneError: an output without last states.
        """
        states = getattr(output, "last_hidden_state", None)
        if not isinstance(states, Tensor) or states.ndim not in (3, 4):
            raise BackboneError(
                "backbone",
                f"{self.model.config.model_type}, which gives no last states of a picture",
                "a model that gives a last_hidden_state",
                "load the part of it that does",
            )
        if states.ndim == 3:
            return self.finished(states)
        if states.requires_grad:
            # BatchNorm's backward pass (torch 2.13, on a processor) is wrong for one picture whose gradient
            # has the strides of a transposed map.
            states.register_hook(torch.Tensor.contiguous)
        pooled = getattr(output, "pooler_output", None)
        states = states.flatten(1, 2) if _channels_last(states, self.size) else states.flatten(2).mT
        if not isinstance(pooled, Tensor) or pooled.flatten(1).shape != states[:, 0].shape:
            return states
        return torch.cat([pooled.flatten(1)[:, None], states], dim=1)

    def kinds(self, n_tokens: int) -> list[int]:
        """The kind of each of the tokens that `states` gives."""
        front = [CLASS] * min(self.n_special, 1) + [SPECIAL] * (self.n_special - 1)
        own = [PATCH] * (n_tokens - self.n_special - self.n_behind)
        return front + own + [SPECIAL] * self.n_behind

    def _n_summaries(self, output: Any, states: Tensor) -> int:
        """How many states stand before the picture's own in a model without layers: 1 or none."""
        pooled = getattr(output, "pooler_output", None)
        if isinstance(pooled, Tensor) and pooled.flatten(1).shape == states[:, 0].shape:
            return int(states.shape[1] > 1 and torch.equal(pooled.flatten(1), states[:, 0]))
        named = any(name.rpartition(".")[2] == CLASS_TOKEN for name, _ in self.base.named_parameters())
        return int(named and output.last_hidden_state.ndim == 3)

    def finished(self, states: Tensor) -> Tensor:
        """The last states after the norm that some families keep outside of the base model (CLIP)."""
        name = NORM_OUTSIDE.get(self.model.config.model_type)
        return states if name is None else getattr(self.base, name)(states)

    def inputs(self, pixels: Tensor) -> dict[str, Tensor]:
        """The tensors with which the model reads pictures, in its precision and on its device."""
        return picture_inputs(self.model, pixels.to(self.weight.device, self.weight.dtype))

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
            with intercepted([where.attention], _stop):
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


def _n_around(own: Tensor) -> tuple[int, int]:
    """How many tokens stand before and behind a picture's own.

    Raises:
        NoLayers: others stand among them.
    """
    places = own.nonzero().flatten()
    if not len(places) or int(places[-1] - places[0]) + 1 != len(places):
        raise NoLayers("with tokens of its own among those of a picture")
    return int(places[0]), len(own) - 1 - int(places[-1])


def _channels_last(states: Tensor, size: tuple[int, int]) -> bool:
    """Whether a map of states is `[picture, row, column, hidden]`, by the proportions of the picture."""
    _, first, second, third = states.shape
    return first * size[1] == second * size[0] and second * size[1] != third * size[0]
