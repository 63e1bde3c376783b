"""A backbone's layers through torch.compile, one graph for all of them, and its exact undoing.

Each layer is compiled on its own, by one compiled function that takes the layer as an argument, so layers
of one kind share a graph. What differs between passes (which prompt, how many rows, how long) comes in as
tensors with sizes left open; what would be a guard on Python state is looked up before the compiled part.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch.fx.experimental import _config as shapes
from transformers import Cache, PreTrainedModel

from softprompt.backbones.attention.families import computes_itself
from softprompt.backbones.attention.interface import put, standing_on
from softprompt.backbones.attention.routing import routed
from softprompt.backbones.injection.key_values import Laid, Prefix
from softprompt.backbones.injection.vision_tokens import Unplaced
from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.backbones.inspection.layers import layers_around
from softprompt.backbones.inspection.spec import probe
from softprompt.backbones.inspection.vision import Vision
from softprompt.backbones.loading.quantization import is_packed
from softprompt.errors import BackboneError

LIMIT = 64
"""Graphs of one backbone: with and without prompt, gradients, mask, a batch of 1, for each kind of layer."""

DEVICES = ("cpu", "cuda")
"""Where inductor makes code; on a GPU nothing was tried yet."""

_numbers = itertools.count()


class CompiledLayers:
    """The layers of a model, ready to run compiled inside `at_work`.

    Layers run as they are where compiling would change what they do or gain nothing: with a KV cache
    (decoding), in training mode (the backbone's own dropout, gradient checkpointing), where a prompt puts
    hooks or tensors inside a layer (adapters, LoRA, tuned weights), and where soft tokens or pictures' deep
    prompts are made into key/values.

    Args:
        model: the frozen model.
        attentions: as `find_attentions` gives them.
        vision: the model where it reads pictures.
        size: of the pictures that it reads.
        name: of the backbone, for errors.
        backend: of torch.compile.

    Raises:
        BackboneError: layers that cannot be compiled, or no compiler.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        attentions: Sequence[AttentionSite],
        vision: Vision | None,
        size: tuple[int, int] | None,
        name: str,
        backend: str | Callable[..., Any] = "inductor",
    ):
        self.name = name
        self.model = model
        self.layers = _layers(model, attentions, vision, name)
        _check_machine(model, backend, name)
        self._try_out(attentions, size)
        self._runs = _compiled(backend)

    def at_work(self) -> AbstractContextManager[None]:
        """While entered, the layers run compiled; undone exactly."""
        return self._through(self._runs)

    @contextmanager
    def _through(self, runs: Callable[..., Any]) -> Iterator[None]:
        before = torch._dynamo.config.recompile_limit, shapes.use_duck_shape
        try:
            # torch's own is 8, too few for all kinds of passes of a backbone.
            torch._dynamo.config.recompile_limit = LIMIT
            # Else a batch that happens to be as large as a head is compiled for that size alone.
            shapes.use_duck_shape = False
            for layer, attentions in self.layers.items():
                layer.__dict__["forward"] = _Compiled(layer, attentions, runs, self.name)
            yield
        finally:
            torch._dynamo.config.recompile_limit, shapes.use_duck_shape = before
            for layer in self.layers:
                layer.__dict__.pop("forward", None)

    def _try_out(self, attentions: Sequence[AttentionSite], size: tuple[int, int] | None) -> None:
        """Trace every layer once: what dynamo cannot take whole is refused here and not in the first step."""
        trained = [(module, module.training) for module in self.model.modules()]
        decodes = any(a.site == "decoder" for a in attentions) and not self.model.config.is_encoder_decoder
        try:
            for attention in attentions:
                put(attention.module, _some(attention, self.model))
            with torch.no_grad(), routed(self.model), self._through(_compiled("eager")):
                self.model.eval()
                probe(self.model, size, **({"use_cache": False} if decodes else {}))
        finally:
            for attention in attentions:
                put(attention.module, None)
            for module, flag in trained:
                module.training = flag


class _Compiled:
    """In place of a layer's forward."""

    def __init__(self, layer: nn.Module, attentions: Sequence[nn.Module], run: Callable[..., Any], name: str):
        self.layer = layer
        self.attentions = attentions
        self.modules = [module for module in layer.modules() if module is not layer]
        self.run = run
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        layer = self.layer
        standing = [standing_on(module) for module in self.attentions]
        if not self._can(standing, args, kwargs):
            return type(layer).forward(layer, *args, **kwargs)
        states = args[0] if args else kwargs["hidden_states"]
        laid = [s.laid(len(states)) if isinstance(s, Prefix) else s for s in standing]
        try:
            for module, prompt in zip(self.attentions, laid, strict=True):
                put(module, prompt)
            return self.run(layer, args, kwargs)
        except FailOnRecompileLimitHit:
            # Slower, and not wrong, so hours of training are not thrown away.
            message = f"{self.name}: {LIMIT} graphs are compiled; layers that need another run as they are"
            warnings.warn(message, stacklevel=2)
        except TorchDynamoException as error:
            raise _refused(self.name, f"a layer that torch.compile does not take: {_said(error)}") from error
        finally:
            for module, prompt in zip(self.attentions, standing, strict=True):
                put(module, prompt)
        return type(layer).forward(layer, *args, **kwargs)

    def _can(self, standing: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether the compiled layer does what the layer itself would do now."""
        return (
            not self.layer.training  # dropout would draw other numbers; checkpointing has a way of its own
            and not torch.compiler.is_compiling()
            and all(s is None or isinstance(s, Prefix | Laid | Unplaced) for s in standing)
            and not any(isinstance(value, Cache) for value in (*args, *kwargs.values()))
            # dynamo does not look whether hooks came or went since it compiled
            and all(map(is_as_built, self.modules))
        )


def is_as_built(module: nn.Module) -> bool:
    """Whether nothing was put on a module: no hook, no forward, no tensor over a parameter."""
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
    ) and module.__dict__.keys().isdisjoint(module._parameters)


def _region(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What is compiled: a layer's own forward, with the layer and the tensors as arguments."""
    return type(layer).forward(layer, *args, **kwargs)


def _compiled(backend: str | Callable[..., Any]) -> Callable[..., Any]:
    """The region, compiled by itself: torch counts graphs by code object, so each backbone gets its own."""
    code = _region.__code__.replace(co_name=f"_region_{next(_numbers)}")
    region = FunctionType(code, _region.__globals__)
    return torch.compile(region, fullgraph=True, dynamic=True, backend=backend)


def _layers(
    model: PreTrainedModel, attentions: Sequence[AttentionSite], vision: Vision | None, name: str
) -> dict[nn.Module, list[nn.Module]]:
    """Every layer with the attentions in it, if each layer stands for itself."""
    if any(map(is_packed, model.parameters())):
        raise _refused(name, "quantised weights", "plain ones")
    if computes_itself(model) or not attentions:
        raise _refused(name, "attention that the family computes itself", "attention through transformers")
    if vision is not None and vision.windowed:
        raise _refused(name, "layers that cut tokens into windows of their own", "layers of one kind")
    modules = [a.module for a in attentions]
    if len(set(modules)) < len(modules):
        raise _refused(name, "layers that share one module", "layers of their own")
    found: dict[nn.Module, list[nn.Module]] = {}
    for _, layer in layers_around(model, attentions):
        if layer is None:
            raise _refused(name, "layers that stand in no list", "layers in a ModuleList")
        inside = set(layer.modules())
        found[layer] = [m for m in modules if m in inside]
    if not all(is_as_built(module) for layer in found for module in layer.modules()):
        raise _refused(name, "hooks or forwards on its layers (a device map, a wrapper)", "layers as built")
    return found


def _check_machine(model: PreTrainedModel, backend: str | Callable[..., Any], name: str) -> None:
    """Raises BackboneError where inductor cannot make code."""
    if backend != "inductor":
        return
    device = model.device.type
    if device not in DEVICES:
        raise _refused(name, f"the device '{device}'", " or ".join(DEVICES))
    try:
        torch._dynamo.eval_frame.check_if_dynamo_supported()
        if device == "cpu":
            from torch._inductor.cpp_builder import get_cpp_compiler

            get_cpp_compiler()
        else:
            import triton  # type: ignore[import-not-found] # noqa: F401
    except (RuntimeError, ImportError) as error:  # no compiler, no Triton, a Python that is too new
        raise _refused(name, _said(error), "a compiler") from error


def _some(attention: AttentionSite, model: PreTrainedModel) -> Laid:
    """One column of zeros, to trace a layer under a prompt."""
    weight, shape = next(model.parameters()), attention.shape
    keys, values = (weight.new_zeros(1, shape.kv_heads, 2, d) for d in (shape.key_dim, shape.value_dim))
    return Laid(keys, values, None, None)


def _said(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _refused(name: str, got: str, expected: str = "a layer without graph breaks") -> BackboneError:
    return BackboneError("backbone.compile", f"{name} with {got}", expected, "set backbone.compile: false")
