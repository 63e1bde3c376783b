"""What a live model is known again by: a few numbers out of each of its tensors, see `files.recognition`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.loading import is_packed, is_sharded
from softprompt.files import BackboneRecord, Held, kinds_of_tensors

_NUMBERS, _FEWEST, _MOST = 2048, 4, 64
_LORA = ("base_layer", "lora_A", "lora_B", "scaling", "active_adapters")
_HELD = {torch.float32: Held.FLOAT32, torch.bfloat16: Held.BFLOAT16, torch.float16: Held.FLOAT16}


@dataclass(frozen=True)
class _Tensor:
    """One tensor of a model, as it acts.

    Args:
        name: without what PEFT puts around it.
        weight: as it is held.
        module: that holds it.
        loras: what PEFT adds to it: thin matrices `[rank, in]` and `[out, rank]`, and their factor.
        turned: whether it is `[in, out]`.
    """

    name: str
    weight: Tensor
    module: nn.Module
    loras: Sequence[tuple[Tensor, Tensor, float]] = ()
    turned: bool = False


@torch.no_grad()
def record(model: PreTrainedModel) -> BackboneRecord:
    """Names, shapes and about two thousand evenly spread numbers of a model, its head's included.

    A few numbers are gathered from each tensor, so that a large model takes milliseconds; a tensor that is
    quantised is turned back for it. LoRA of PEFT's that is at work counts as part of the layers that it
    stands beside, merged or not. Poolers that nothing reads are left out: checkpoints without one get a
    random one at every load.
    """
    base = model.base_model
    stem = "" if base is model else f"{_path(model, base)}."
    says = _output_path(model)
    inside, outside = [], []
    for one in _tensors(model):
        name = one.name.removeprefix(stem)
        if name.startswith("pooler.") and not stem:
            continue
        if not one.name.startswith(stem) or name.startswith("pooler.") or one.name.startswith(says):
            outside.append(one)
        else:
            inside.append(replace(one, name=name))
    k = max(_FEWEST, min(_MOST, _NUMBERS // max(1, len(inside))))  # the same whatever head is on it
    shapes = [[(one.name, tuple(_shape(one))) for one in part] for part in (inside, outside)]
    return BackboneRecord(
        per_tensor=k,
        base=kinds_of_tensors(shapes[0]),
        head=kinds_of_tensors(shapes[1]),
        embeddings=_embeddings(model, inside),
        samples=_samples([*inside, *outside], k),
    )


def out_of_reach(model: PreTrainedModel) -> bool:
    """Whether numbers of a model lie elsewhere: shared out over processes, or offloaded."""
    return any(is_sharded(weight) or weight.device.type == "meta" for weight in model.parameters())


def _path(model: nn.Module, part: nn.Module) -> str:
    return next((path for path, module in model.named_modules() if module is part), "-")


def _output_path(model: PreTrainedModel) -> tuple[str, ...]:
    """Where what turns states into words stands; some models have it within what they call their base."""
    try:
        words = model.get_output_embeddings()
    except (AttributeError, NotImplementedError):
        words = None
    return () if words is None else (f"{_path(model, words)}.",)


def _embeddings(model: PreTrainedModel, tensors: Sequence[_Tensor]) -> str:
    try:
        table = model.get_input_embeddings().weight
    except (AttributeError, NotImplementedError):
        return ""
    found = [one.name for one in tensors if one.weight is table and one.weight.ndim == 2]
    return found[0] if found else ""


def _tensors(model: nn.Module) -> list[_Tensor]:
    """Every tensor by every name that it has, in the order of names."""
    found: list[_Tensor] = []
    done: tuple[str, ...] = ()
    for path, module in model.named_modules(remove_duplicate=False):
        stem = f"{path}." if path else ""
        if stem.startswith(done):
            continue
        loras, holder = _loras(module), module
        if loras is not None:
            done, holder = (*done, stem), _layer_of(module)
        turned = bool(getattr(module, "fan_in_fan_out", False))
        for name, weight in holder._parameters.items():
            if weight is not None:
                mine = loras if name == "weight" and loras else ()
                found.append(_Tensor(stem + name, weight, holder, mine, turned))
    return sorted(found, key=lambda one: one.name)


def _layer_of(module: nn.Module) -> nn.Module:
    layer = module.base_layer
    assert isinstance(layer, nn.Module)
    return layer


def _loras(module: nn.Module) -> Sequence[tuple[Tensor, Tensor, float]] | None:
    """What a layer of PEFT's adds to the linear layer in it; None where it is none, or another sum."""
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
    thin: list[tuple[Any, Any]] = [(lora.lora_A[name], lora.lora_B[name]) for name in active]
    factors = [float(lora.scaling[name]) for name in active]
    return [(down.weight, up.weight, factor) for (down, up), factor in zip(thin, factors, strict=True)]


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
            mine = tuple(islice(together, len(numbers)))
            size = max(map(abs, mine), default=0.0) if largest is None else largest
            rows[i] = (float(held), size, *mine, *(0.0,) * (k - len(mine)))
    return tuple(rows)


def _drawn(one: _Tensor, k: int) -> tuple[Tensor, float | None, Held]:
    """A tensor's numbers, the largest magnitude where all of it was looked at, and how it is held."""
    weight, held = one.weight.detach(), _HELD.get(one.weight.dtype, Held.FLOAT32)
    largest = None
    if is_packed(one.weight):
        weight = dequantised(one.weight, one.module)
        held = _bits(one.weight, weight)
        largest = float(weight.abs().max())
    flat = torch.tensor(_places(weight.numel(), k), dtype=torch.long)
    if weight.is_contiguous() and not one.loras:
        return weight.view(-1)[flat.to(weight.device)].float(), largest, held
    places = torch.unravel_index(flat, weight.shape)
    numbers = weight[tuple(index.to(weight.device) for index in places)].flatten().float()
    for down, up, factor in one.loras:
        rows, columns = (index.to(down.device) for index in places[:: -1 if one.turned else 1])
        more = (up.detach()[rows].float() * down.detach()[:, columns].T.float()).sum(1) * factor
        numbers, held = numbers + more.to(numbers.device), Held.COMPUTED
    return numbers, largest, held


@lru_cache(maxsize=1024)
def _places(n: int, k: int) -> Sequence[int]:
    """Where `k` of `n` numbers lie: one in each of `k` equal parts, not at the same place in each."""
    part = n // k
    return range(n) if n <= k else [j * n // k + (j * 2654435761 + 12345) % part for j in range(k)]


def dequantised(weight: Tensor, module: nn.Module) -> Tensor:
    """A quantised tensor as what it means."""
    state = getattr(weight, "quant_state", None)
    if state is not None:  # bitsandbytes, four bits
        from bitsandbytes.functional import dequantize_4bit  # type: ignore[import-not-found]

        return dequantize_4bit(weight.data, state)
    kept = getattr(module, "state", None)  # bitsandbytes, eight bits: the scales move there at the first pass
    for scales in (getattr(weight, "SCB", None), getattr(kept, "SCB", None)):
        if scales is not None and weight.dtype == torch.int8:
            return weight.detach().float() * scales.to(weight.device)[:, None].float() / 127
    if hasattr(weight, "dequantize") and type(weight) not in (Tensor, nn.Parameter):
        return weight.detach().dequantize()
    return weight.detach().float()


def _shape(one: _Tensor) -> Sequence[int]:
    state = getattr(one.weight, "quant_state", None)
    return one.weight.shape if state is None else state.shape


def _bits(weight: Tensor, meant: Tensor) -> Held:
    """In how many bits a quantised tensor is held; its own numbers say what its class does not."""
    if getattr(weight, "quant_state", None) is not None:
        return Held.FOUR_BITS
    if any("float8" in str(dtype) for dtype in _inner_dtypes(weight)):
        return Held.FLOAT8
    few = meant.flatten()[:32]  # within one group of one scale
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
