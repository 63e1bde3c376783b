"""The record by which a live model is recognised: a few numbers of each tensor, see `files.recognition`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection.base import base_module
from softprompt.backbones.loading import is_packed, is_sharded
from softprompt.files import BackboneRecord, Held, kinds_of_tensors

_NUMBERS, _FEWEST, _MOST = 2048, 4, 64
_LORA = ("base_layer", "lora_A", "lora_B", "scaling", "active_adapters")
_HELD = {torch.float32: Held.FLOAT32, torch.bfloat16: Held.BFLOAT16, torch.float16: Held.FLOAT16}


@dataclass(frozen=True)
class _Tensor:
    """One tensor of a model, with the LoRA that is active beside it.

    Args:
        name: without the parts that PEFT adds to it.
        weight: as stored, perhaps quantised.
        module: the module that owns the tensor.
        loras: PEFT's matrices `[rank, in]` and `[out, rank]`, and their factor.
        transposed: whether the tensor is `[in, out]`.
    """

    name: str
    weight: Tensor
    module: nn.Module
    loras: Sequence[tuple[Tensor, Tensor, float]] = ()
    transposed: bool = False


@torch.no_grad()
def record(model: PreTrainedModel) -> BackboneRecord:
    """Names, shapes and about two thousand evenly spaced numbers of a model, its head included.

    A few numbers are gathered from each tensor, so that a large model takes milliseconds; a quantised
    tensor is dequantised first. Active LoRA of PEFT counts as part of its layers, merged or not. Poolers are
    left out: nothing reads them, and a checkpoint without a pooler gets a random one at every load.
    """
    base = base_module(model)
    stem = "" if base is model else f"{_path(model, base)}."
    vocabulary = _output_path(model)
    inside, outside = [], []
    for one in _tensors(model):
        name = one.name.removeprefix(stem)
        if name.startswith("pooler.") and not stem:
            continue
        if not one.name.startswith(stem) or name.startswith("pooler.") or one.name.startswith(vocabulary):
            outside.append(one)
        else:
            inside.append(replace(one, name=name))
    k = max(_FEWEST, min(_MOST, _NUMBERS // max(1, len(inside))))  # independent of the head
    shapes = [[(one.name, tuple(_shape(one))) for one in part] for part in (inside, outside)]
    return BackboneRecord(
        per_tensor=k,
        base=kinds_of_tensors(shapes[0]),
        head=kinds_of_tensors(shapes[1]),
        embeddings=_embeddings(model, inside),
        samples=_samples([*inside, *outside], k),
    )


def out_of_reach(model: PreTrainedModel) -> bool:
    """Whether weights of a model are out of this process's reach: sharded or offloaded."""
    return any(is_sharded(weight) or weight.device.type == "meta" for weight in model.parameters())


def _path(model: nn.Module, part: nn.Module) -> str:
    return next((path for path, module in model.named_modules() if module is part), "-")


def _output_path(model: PreTrainedModel) -> tuple[str, ...]:
    """The path of the vocabulary matrix, which some models have within their base model."""
    try:
        matrix = model.get_output_embeddings()
    except (AttributeError, NotImplementedError):
        matrix = None
    return () if matrix is None else (f"{_path(model, matrix)}.",)


def _embeddings(model: PreTrainedModel, tensors: Sequence[_Tensor]) -> str:
    try:
        table = model.get_input_embeddings().weight
    except (AttributeError, NotImplementedError):
        return ""
    found = [one.name for one in tensors if one.weight is table and one.weight.ndim == 2]
    return found[0] if found else ""


def _tensors(model: nn.Module) -> list[_Tensor]:
    """Every tensor, once for each of its names, in the order of names."""
    tensors: list[_Tensor] = []
    done: tuple[str, ...] = ()
    for path, module in model.named_modules(remove_duplicate=False):
        stem = f"{path}." if path else ""
        if stem.startswith(done):
            continue
        loras, holder = _loras(module), module
        if loras is not None:
            done, holder = (*done, stem), _layer_of(module)
        transposed = bool(getattr(module, "fan_in_fan_out", False))
        for name, weight in holder._parameters.items():
            if weight is not None:
                added = loras if name == "weight" and loras else ()
                tensors.append(_Tensor(stem + name, weight, holder, added, transposed))
    return sorted(tensors, key=lambda one: one.name)


def _layer_of(module: nn.Module) -> nn.Module:
    layer = module.base_layer
    assert isinstance(layer, nn.Module)
    return layer


def _loras(module: nn.Module) -> Sequence[tuple[Tensor, Tensor, float]] | None:
    """What a LoRA layer of PEFT adds to its linear layer; None for other modules and other sums (DoRA)."""
    lora: Any = module
    if not all(hasattr(module, name) for name in _LORA):
        return None
    weight = getattr(lora.base_layer, "weight", None)
    if weight is None or weight.ndim != 2 or not isinstance(lora.lora_A, nn.ModuleDict):
        return None
    if getattr(module, "disable_adapters", False) or getattr(module, "merged", False):
        return []
    active = [name for name in lora.active_adapters if name in lora.lora_A]
    for other in ("use_dora", "lora_bias"):
        if any((getattr(module, other, None) or {}).get(name) for name in active):
            return None
    of_embeddings = getattr(module, "lora_embedding_A", ())
    if getattr(module, "lora_variant", None) or any(name in of_embeddings for name in lora.active_adapters):
        return None
    pairs: list[tuple[Any, Any]] = [(lora.lora_A[name], lora.lora_B[name]) for name in active]
    factors = [float(lora.scaling[name]) for name in active]
    return [(down.weight, up.weight, factor) for (down, up), factor in zip(pairs, factors, strict=True)]


def _samples(tensors: Sequence[_Tensor], k: int) -> tuple[tuple[float, ...], ...]:
    drawn = [_drawn(one, k) for one in tensors]
    places: dict[torch.device, list[int]] = {}
    for i, (numbers, _, _) in enumerate(drawn):
        places.setdefault(numbers.device, []).append(i)
    rows: list[tuple[float, ...]] = [()] * len(drawn)
    for index in places.values():
        together = iter(torch.cat([drawn[i][0] for i in index]).tolist())  # one transfer for each device
        for i in index:
            numbers, largest, held = drawn[i]
            row = tuple(islice(together, len(numbers)))
            size = max(map(abs, row), default=0.0) if largest is None else largest
            rows[i] = (float(held), size, *row, *(0.0,) * (k - len(row)))
    return tuple(rows)


def _drawn(one: _Tensor, k: int) -> tuple[Tensor, float | None, Held]:
    """A tensor's sampled numbers, its largest magnitude if all of it was read, and its storage format."""
    weight, held = one.weight.detach(), _HELD.get(one.weight.dtype, Held.FLOAT32)
    largest = None
    if is_packed(one.weight):
        weight = dequantised(one.weight, one.module)
        held = stored_format(one.weight, weight)
        largest = float(weight.abs().max())
    flat = _places(weight.numel(), k)
    if weight.is_contiguous() and not one.loras:
        return weight.view(-1)[flat.to(weight.device)].float(), largest, held
    places = torch.unravel_index(flat, weight.shape)
    numbers = weight[tuple(index.to(weight.device) for index in places)].flatten().float()
    for down, up, factor in one.loras:
        rows, columns = (index.to(down.device) for index in places[:: -1 if one.transposed else 1])
        more = (up.detach()[rows].float() * down.detach()[:, columns].T.float()).sum(1) * factor
        numbers, held = numbers + more.to(numbers.device), Held.COMPUTED
    return numbers, largest, held


@lru_cache(maxsize=1024)
def _places(n: int, k: int) -> Tensor:
    """The indices of `k` of `n` numbers, `[k]`: one in each of `k` equal parts, at varying places in them."""
    part = n // k
    places = range(n) if n <= k else [j * n // k + (j * 2654435761 + 12345) % part for j in range(k)]
    return torch.tensor(places, dtype=torch.long)


def dequantised(weight: Tensor, module: nn.Module) -> Tensor:
    """A quantised tensor as floating-point numbers."""
    state = getattr(weight, "quant_state", None)
    if state is not None:  # bitsandbytes, four bits
        from bitsandbytes.functional import dequantize_4bit  # type: ignore[import-not-found]

        return dequantize_4bit(weight.data, state)
    kept = getattr(module, "state", None)  # bitsandbytes, eight bits: the first pass moves the scales there
    for scales in (getattr(weight, "SCB", None), getattr(kept, "SCB", None)):
        if scales is not None and weight.dtype == torch.int8:
            return weight.detach().float() * scales.to(weight.device)[:, None].float() / 127
    if hasattr(weight, "dequantize") and type(weight) not in (Tensor, nn.Parameter):
        return weight.detach().dequantize()
    return weight.detach().float()


def _shape(one: _Tensor) -> Sequence[int]:
    state = getattr(one.weight, "quant_state", None)
    return one.weight.shape if state is None else state.shape


def stored_format(weight: Tensor, numbers: Tensor) -> Held:
    """The storage format of a quantised tensor, by its class or by the number of its different values.

    Args:
        weight: as stored.
        numbers: the same as floating-point numbers.
    """
    if getattr(weight, "quant_state", None) is not None:
        return Held.FOUR_BITS
    if any("float8" in str(dtype) for dtype in _inner_dtypes(weight)):
        return Held.FLOAT8
    few = numbers.flatten()[:32]  # within one group, whose numbers share a scale
    return Held.FOUR_BITS if len(few) == 32 and len(few.unique()) <= 16 else Held.EIGHT_BITS


def _inner_dtypes(weight: Tensor) -> Iterator[torch.dtype]:
    yield weight.dtype
    try:
        names, _ = weight.__tensor_flatten__()  # type: ignore[attr-defined]
    except (AttributeError, TypeError, NotImplementedError):
        return
    for name in names:
        inner = getattr(weight, name)
        if isinstance(inner, Tensor) and inner is not weight:
            yield from _inner_dtypes(inner)
