"""A model's lower layers on their own: run up to layer k, or left out because their states are known."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.describe import word_embeddings
from softprompt.backbones.glance import size_options, unmasked
from softprompt.backbones.layers import layer_around
from softprompt.backbones.sites import AttentionSite
from softprompt.backbones.vision import Vision
from softprompt.errors import BackboneError

_MISSING = object()
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

    if model.config.is_encoder_decoder:
        raise refuse("an encoder-decoder, whose decoder layers read two inputs")
    if vision is not None:
        if vision.windowed or len({(layer.n_tokens, layer.width) for layer in vision.layers}) > 1:
            raise refuse("whose layers cut tokens into windows and merge them")
        return dict(enumerate(layer.module for layer in vision.layers))
    ordered = sorted(attentions, key=lambda a: a.layer)
    modules = [a.module for a in ordered]
    if not modules:
        raise refuse("whose attentions, and so whose layers, are not known")
    if len(set(modules)) < len(modules):
        raise refuse("whose layers share one module")
    layers = [layer_around(model, module, {*modules} - {module}) for module in modules]
    if any(layer is None for layer in layers):
        raise refuse("whose layers stand in no list")
    return {a.layer: layer for a, layer in zip(ordered, layers, strict=True) if layer is not None}


class Trunk:
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
        """The states that leave the last of the layers, `[batch, seq, hidden]`; what follows does not run.

        Args:
            call: calls the model.
        """

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            raise _Left(output if isinstance(output, Tensor) else output[0])

        handle = self.layers[-1].register_forward_hook(leave)
        try:
            call()
        except _Left as left:
            return left.states
        finally:
            handle.remove()
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
        given: dict[nn.Module, Callable[..., Any]] = {
            layer: _Passing(self.n_outputs[layer]) for layer in self.layers
        }
        given[self.layers[-1]] = _Passing(self.n_outputs[self.layers[-1]], states)
        if self.vision is not None:
            given[self.vision.conv] = _NoPatches(self.vision)
        before = {module: module.__dict__.get("forward", _MISSING) for module in given}
        try:
            for module, forward in given.items():
                module.__dict__["forward"] = forward
            yield
        finally:
            for module, forward in before.items():
                if forward is _MISSING:
                    del module.__dict__["forward"]
                else:
                    module.__dict__["forward"] = forward

    @torch.no_grad()
    def _try_out(self) -> None:
        """One pass as usual and one with the layers left out; both must say the same."""

        def note(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                self.n_outputs[module] = None
            elif isinstance(output, tuple) and not any(more is not None for more in output[1:]):
                self.n_outputs[module] = len(output)

        handles = [layer.register_forward_hook(note) for layer in self.layers]
        training = {module: module.training for module in self.model.modules()}
        self.model.eval()
        try:
            whole = self._probe()
            for handle in handles:
                handle.remove()
            if len(self.n_outputs) < len(self.layers):
                raise self._refusal("layers that hand on more than their states")
            with self.left_out(self.run(self._probe)):
                cut = self._probe()
        finally:
            for handle in handles:
                handle.remove()
            for module, flag in training.items():
                module.training = flag
        whole, cut = whole.last_hidden_state.float(), cut.last_hidden_state.float()
        # Wrong ways are wrong by the size of the states; rounding alone is smaller than this by far.
        if float((whole - cut).abs().max()) > 1e-2 * float(whole.abs().max()):
            raise self._refusal("layers without which the later ones compute something else")

    def _probe(self) -> Any:
        """The base model's output on a few tokens, or on a picture of noise."""
        base = self.model.base_model
        if self.vision is not None:
            height, width = self.vision.size
            weight = self.vision.conv.weight
            generator = torch.Generator().manual_seed(0)
            pixels = torch.randn(1, weight.shape[1], height, width, generator=generator).to(weight)
            with unmasked(self.model):
                return base(pixel_values=pixels, **size_options(self.model, (height, width)))
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


class _Passing:
    """In place of a layer's forward: gives what came in, or known states."""

    def __init__(self, n_outputs: int | None, states: Tensor | None = None):
        self.n_outputs = n_outputs
        self.states = states

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        states = self.states
        if states is None:
            states = args[0] if args else kwargs["hidden_states"]
        return states if self.n_outputs is None else (states, *[None] * (self.n_outputs - 1))


class _NoPatches:
    """In place of the patch convolution's forward: zeros of the right shape, which no one reads."""

    def __init__(self, vision: Vision):
        self.weight = vision.conv.weight
        self.patch = vision.patch

    def __call__(self, pixels: Tensor) -> Tensor:
        rows, columns = pixels.shape[-2] // self.patch[0], pixels.shape[-1] // self.patch[1]
        return self.weight.new_zeros(()).expand(len(pixels), self.weight.shape[0], rows, columns)
