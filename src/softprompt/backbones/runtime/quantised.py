"""Whether quantised layers pass gradients on, found before anything is trained through them.

A quantised linear layer may have no backward pass: the kernel of its format gives none, or bitsandbytes has
packed it for inference on this processor. A prompt then learns by the way around the layer alone, along the
residual stream, and nothing says that its gradient is wrong.
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.loading import float_dtype
from softprompt.errors import BackboneError, first_line

TOLERANCE = 0.1
"""Share by which a gradient may be off: layers that also round their inputs to 8 bits are off by 1 to 2%."""

_FOUND: "WeakKeyDictionary[nn.Module, tuple[Hashable, str | None]]" = WeakKeyDictionary()
"""What was found of a layer, and the kind that it was then."""


def check_backward(model: PreTrainedModel, layers: Iterable[tuple[str, nn.Module]], name: str) -> None:
    """Refuse quantised layers through which no gradient comes, or a wrong one.

    One layer of each kind is tried, with two random vectors, once.

    Args:
        model: the frozen model.
        layers: its quantised layers and their paths.
        name: of the backbone, for the error.

    Raises:
        BackboneError: no gradient, or a wrong one.
    """
    for path, layer, kind in _one_of_each_kind(layers):
        known = _FOUND.get(layer)
        fault = known[1] if known is not None and known[0] == kind else _fault(layer, float_dtype(model))
        _FOUND[layer] = (kind, fault)
        if fault is not None:
            raise _refusal(path, layer, fault, name)


def rounds_inputs(model: PreTrainedModel, layers: Iterable[tuple[str, nn.Module]]) -> bool:
    """Whether quantised layers round their inputs too (LLM.int8, dynamic kinds), and so are not linear.

    Then the last digit of an input decides a step of the rounding: what is computed in another order differs
    by as much as the format is coarse, and only the same computation gives the same numbers.

    Args:
        model: the frozen model.
        layers: its quantised layers and their paths.
    """
    dtype = float_dtype(model)
    for _, layer, _ in _one_of_each_kind(layers):
        vectors = _random_vectors(layer, dtype)
        both = torch.cat([vectors, vectors.sum(0, keepdim=True), torch.zeros_like(vectors[:1])])
        with torch.no_grad():
            one, other, added, nothing = type(layer).forward(layer, both).float()
        off = (one + other - added - nothing).norm() / added.norm()
        if off > 8 * torch.finfo(dtype).eps:
            return True
    return False


def _one_of_each_kind(
    layers: Iterable[tuple[str, nn.Module]],
) -> Iterator[tuple[str, nn.Module, Hashable]]:
    """The path, the layer and the kind of the first layer of each kind that can be tried with vectors."""
    tried: set[Hashable] = set()
    for path, layer in layers:
        kind = _kind(layer)
        if kind not in tried and isinstance(getattr(layer, "in_features", None), int):
            tried.add(kind)
            yield path, layer, kind


def _kind(layer: nn.Module) -> Hashable:
    """What decides which kernels a layer calls."""
    weight = getattr(layer, "weight", None)
    return (
        type(layer), type(weight), getattr(weight, "dtype", None), str(getattr(weight, "device", "")),
        layer.training, _is_packed_for_inference(layer),
    )  # fmt: skip


def _is_packed_for_inference(layer: nn.Module) -> bool:
    """Whether bitsandbytes has packed a layer of four bits for a kernel that has no backward pass."""
    state = getattr(getattr(layer, "weight", None), "quant_state", None)
    return bool(getattr(state, "packing_format_for_cpu", False))


def _fault(layer: Any, dtype: torch.dtype) -> str | None:
    """What is wrong with the gradient of a layer's input; None for a right one.

    Of a linear layer `f` with matrix `W` and a vector `d`, the gradient of `<Wd, f(x)>` is `W'Wd`, whose
    product with `d` is the square of `Wd`.
    """
    vectors = _random_vectors(layer, dtype)
    forward = type(layer).forward  # not the instance's, on which something of a session may stand
    with torch.enable_grad():
        x = vectors.clone().requires_grad_()
        try:
            y: Tensor = forward(layer, x)
            if not y.requires_grad:
                return "pass no gradient on"
            with torch.no_grad():
                moved = y.detach().float() - forward(layer, torch.zeros_like(vectors)).float()
            (gradient,) = torch.autograd.grad(y, x, moved.to(y.dtype), allow_unused=True)
        except (RuntimeError, NotImplementedError, AttributeError) as error:
            return f"have no backward pass ({first_line(error)})"
    if gradient is None:
        return "pass no gradient on"
    expected = float(moved.square().sum())
    came = float((gradient.float() * vectors.float()).sum())
    return None if abs(came - expected) <= TOLERANCE * expected else "pass a wrong gradient on"


def _random_vectors(layer: Any, dtype: torch.dtype) -> Tensor:
    """Two inputs of a layer, `[2, in]`, always the same; the user's random numbers are not touched."""
    place = next(iter((*layer.parameters(), *layer.buffers()))).device
    made = torch.randn(2, layer.in_features, generator=torch.Generator().manual_seed(0))
    return made.to(place, dtype)


def _refusal(path: str, layer: nn.Module, fault: str, name: str) -> BackboneError:
    hint = (
        "bitsandbytes has packed them for inference in a pass without gradients: load the model anew, and "
        "set support_avx512bf16_for_cpu = False on its Linear4bit layers before load_backbone"
        if _is_packed_for_inference(layer)
        else "load the weights in a form that has a backward pass, e.g. with quantised weights alone"
    )
    return BackboneError(
        "prompted",
        f"a pass that learns through quantised layers of {name} that {fault} "
        f"({type(layer).__name__}, e.g. {path})",
        "layers that pass gradients on to a prompt",
        f"{hint}; for a pass without training use torch.no_grad()",
    )
