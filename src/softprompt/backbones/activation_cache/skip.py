"""A model's lower layers on their own: run up to layer k, or left out because their states are known."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from softprompt.backbones.dispatch import Forward, Override, dispatching, overriding, undone
from softprompt.backbones.inspection import (
    AttentionSite,
    Vision,
    base_module,
    eval_mode,
    has_decoder,
    layers_around,
    noise_pictures,
    size_options,
    unmasked,
    word_embeddings,
)
from softprompt.errors import BackboneError

_PROBE_LEN = 5


def model_layers(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], vision: Vision | None, name: str
) -> dict[int, nn.Module]:
    """A model's layers by their numbers, from the first to the last, if they can be left out.

    Raises:
        BackboneError: an encoder-decoder, or layers that share modules, stand in no list, or merge tokens.
    """

    def refuse(what: str) -> BackboneError:
        return BackboneError(
            "trunk cache",
            f"{name} ({model.config.model_type}), {what}",
            "a decoder or an encoder whose layers each take and give the same tokens",
            "leave training.trunk_cache out",
        )

    if has_decoder(model):
        raise refuse("an encoder-decoder, whose decoder layers read two inputs")
    if vision is not None:
        if vision.windowed or len({(layer.n_tokens, layer.width) for layer in vision.layers}) > 1:
            raise refuse("whose layers cut tokens into windows and merge them")
        return dict(enumerate(layer.module for layer in vision.layers))
    if not attentions:
        raise refuse("whose attentions, and so whose layers, are not known")
    if len({attention.module for attention in attentions}) < len(attentions):
        raise refuse("whose layers share one module")
    layers: dict[int, nn.Module] = {}
    for attention, layer in layers_around(model, attentions):
        if layer is None:
            raise refuse("whose layers stand in no list")
        layers[attention.layer] = layer
    return layers


class LayerSkipper:
    """The layers of a model below some layer.

    Args:
        model: the model.
        layers: every layer below it, the lowest first; at least one.
        vision: the model where it reads pictures.
        name: of the backbone, for errors.

    Raises:
        BackboneError: layers that hand on more than their states, or a model that computes something else
            when they are left out (tried on a few tokens).
    """

    def __init__(self, model: PreTrainedModel, layers: Sequence[nn.Module], vision: Vision | None, name: str):
        self.model = model
        self.layers = list(layers)
        self.vision = vision
        self.name = name
        self.n_outputs: dict[nn.Module, int | None] = {}
        """For each layer how many things it returns, the first its states; None: the states alone."""
        self._try_out()

    def run(self, call: Callable[[], object]) -> Tensor:
        """The states that leave the last of the layers, `[batch, seq, hidden]`; later layers do not run.

        Args:
            call: calls the model.
        """

        def leave(below: Forward, *args: Any, **kwargs: Any) -> Any:
            output = below(*args, **kwargs)
            raise _Left(output if isinstance(output, Tensor) else output[0])

        last = self.layers[-1]
        try:
            with dispatching([last]), overriding({last: leave}):
                call()
        except _Left as left:
            return left.states
        raise BackboneError(
            "trunk cache",
            f"a pass of {self.name} that never came to its layer {len(self.layers) - 1}",
            "a pass through all layers in their order",
        )

    @contextmanager
    def left_out(self, states: Tensor) -> Iterator[None]:
        """While entered, the layers do nothing, and the last of them gives these states; undone exactly.

        All else of the model's own pass (masks, positions, later layers, norms, heads) runs as it is.

        Args:
            states: as `run` gives them.
        """
        given: dict[nn.Module, Override] = {
            layer: _passing(self.n_outputs[layer], None) for layer in self.layers
        }
        given[self.layers[-1]] = _passing(self.n_outputs[self.layers[-1]], states)
        if self.vision is not None and self.vision.conv is not None:
            given[self.vision.conv] = _no_patches(self.vision.conv)
        with dispatching(given), overriding(given):
            yield

    @torch.no_grad()
    def _try_out(self) -> None:
        """Compare one pass as usual with one without the layers; both must give the same states."""

        def note(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                self.n_outputs[module] = None
            elif isinstance(output, tuple) and not any(more is not None for more in output[1:]):
                self.n_outputs[module] = len(output)

        handles: list[RemovableHandle] = []

        def remove_hooks() -> None:
            for handle in handles:
                handle.remove()

        with eval_mode(self.model):
            with undone(remove_hooks):
                for layer in self.layers:
                    handles.append(layer.register_forward_hook(note))
                whole = self._probe()
            if len(self.n_outputs) < len(self.layers):
                raise self._refusal("layers that hand on more than their states")
            with self.left_out(self.run(self._probe)):
                cut = self._probe()
        whole, cut = whole.last_hidden_state.float(), cut.last_hidden_state.float()
        # An error of the method is as large as the states; rounding errors are far smaller than this limit.
        if float((whole - cut).abs().max()) > 1e-2 * float(whole.abs().max()):
            raise self._refusal("layers without which the later ones compute something else")

    def _probe(self) -> Any:
        """The base model's output on a few tokens, or on a picture of noise."""
        vision = self.vision
        if vision is not None:
            inputs = vision.inputs(noise_pictures(self.model, vision.size))
            with unmasked(self.model):
                return vision.base(**inputs, **size_options(self.model, vision.size))
        base = base_module(self.model)
        table = word_embeddings(self.model)
        ids = torch.arange(1, _PROBE_LEN + 1, device=table.device)[None] % table.shape[0]
        return base(input_ids=ids, attention_mask=torch.ones_like(ids))

    def _refusal(self, what: str) -> BackboneError:
        return BackboneError(
            "trunk cache",
            f"{self.name} ({self.model.config.model_type}), with {what}",
            "layers that take and give states alone",
            "leave training.trunk_cache out",
        )


class _Left(Exception):
    """The last of the layers has been left."""

    def __init__(self, states: Tensor):
        self.states = states


def _passing(n_outputs: int | None, states: Tensor | None) -> Override:
    """In place of a layer: gives what came in, or known states."""

    def passing(below: Forward, *args: Any, **kwargs: Any) -> Any:
        given = states
        if given is None:
            given = args[0] if args else kwargs["hidden_states"]
        return given if n_outputs is None else (given, *[None] * (n_outputs - 1))

    return passing


def _no_patches(conv: nn.Conv2d) -> Override:
    """In place of the patch convolution: zeros of the right shape, which no layer reads."""

    def none(below: Forward, *args: Any, **kwargs: Any) -> Tensor:
        pixels, weight = args[0], conv.weight
        rows, columns = (
            side // patch for side, patch in zip(pixels.shape[-2:], conv.kernel_size, strict=True)
        )
        return weight.new_zeros(()).expand(len(pixels), weight.shape[0], rows, columns)

    return none
