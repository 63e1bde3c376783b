"""The recurrent layers of a model that can begin from a state of ours, found and tried in passes of its own.

No list of families is kept. A pass with a cache shows which layers keep a recurrent state. Then one layer of
each kind is tried: from zeros it must give what it gives by itself; from another state it must give at once
what it gives in two passes, and nearly what it gives token by token, else it is to run token by token; and
gradients must reach the state.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection.base import base_module
from softprompt.backbones.inspection.images import reads_pictures
from softprompt.backbones.inspection.probe import eval_mode, text_token
from softprompt.backbones.loading import is_sharded
from softprompt.backbones.recurrence import Recurrence, begin, columns, held_state, holds_states, is_cache
from softprompt.errors import BackboneError, SoftpromptError

N_TOKENS = 5


@dataclass(frozen=True)
class _Call:
    """The call of a module that was given a cache.

    Args:
        module: the module.
        arguments: by name.
        cache: the name of the argument with the cache.
        tokens: the name of the argument with the states of the tokens.
        output: the states that it gave, `[1, seq, hidden]`.
    """

    module: nn.Module
    arguments: Mapping[str, Any]
    cache: str
    tokens: str
    output: Tensor


def find_recurrences(model: PreTrainedModel, name: str) -> tuple[Recurrence, ...]:
    """The recurrent layers of a model, in the order of the layers.

    Args:
        model: the model.
        name: for errors.

    Raises:
        BackboneError: no such layer, or one that cannot begin from a state of ours.
    """
    if reads_pictures(model):
        raise _refusal(model, name, "which reads pictures")
    if model.config.is_encoder_decoder:
        raise _refusal(model, name, "which has an encoder and a decoder")
    if any(map(is_sharded, model.parameters())):
        raise _refusal(model, name, "whose layers are shared out over processes and cannot be tried alone")
    try:
        with torch.inference_mode(False), torch.no_grad(), eval_mode(model):
            return tuple(_found(model, name))
    except (SoftpromptError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        why = f"whose layers cannot be tried with a cache of ours ({type(error).__name__}: {reason})"
        raise _refusal(model, name, why) from error


def _found(model: PreTrainedModel, name: str) -> Iterator[Recurrence]:
    """Each layer whose state the model's own cache holds."""
    calls, cache = _recorded(model)
    layers = [] if cache is None else holds_states(cache)
    if not layers:
        raise _refusal(model, name, "which keeps no recurrent state in its cache")
    tried: dict[tuple[type[nn.Module], tuple[int, ...]], bool] = {}
    for layer in layers:
        state = held_state(cache, layer)
        assert state is not None
        size = tuple(state.shape[1:])
        for call in calls:
            module = call.module
            if getattr(module, "layer_idx", None) != layer:
                continue
            found = Recurrence(layer, module, _signature(module), call.tokens, call.cache, size, state.dtype)
            kind = (type(module), size)
            if kind not in tried:
                if not _reads_state(found, call):
                    continue
                tried[kind] = _tried(model, name, found, call).in_steps
            yield replace(found, in_steps=tried[kind])
            break
        else:
            raise _refusal(model, name, f"whose layer {layer} takes its recurrent state in a way of its own")


def _recorded(model: PreTrainedModel) -> tuple[list[_Call], Any]:
    """The calls of modules that were given a cache but hand it to no other, and the cache."""
    calls: list[_Call] = []
    started: list[tuple[nn.Module, dict[str, Any] | None, str, str]] = []
    outer: set[nn.Module] = set()
    caches: list[Any] = []

    def start(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = _arguments(module, args, kwargs)
        cache = next((key for key, value in given.items() if is_cache(value)), None)
        tokens = next((k for k, v in given.items() if isinstance(v, Tensor) and v.is_floating_point()), None)
        if cache is None or tokens is None or given[tokens].ndim != 3:
            started.append((module, None, "", ""))
            return
        caches.append(given[cache])
        outer.update(other for other, _, _, _ in started)
        # A copy, since the layer behind may change it in place.
        started.append((module, {**given, tokens: given[tokens].clone()}, cache, tokens))

    def stop(module: nn.Module, args: Any, output: Any) -> None:
        _, given, cache, tokens = started.pop()
        first = output[0] if isinstance(output, tuple) else output
        if given is not None and module not in outer and isinstance(first, Tensor):
            calls.append(_Call(module, given, cache, tokens, first.clone()))

    handles: list[Any] = []
    try:
        for module in base_module(model).modules():
            handles.append(module.register_forward_pre_hook(start, with_kwargs=True))
            handles.append(module.register_forward_hook(stop))
        ids = _text(model)
        takes = _signature(base_module(model)).parameters
        options = {"use_cache": True} if {"use_cache", "kwargs"} & set(takes) else {}
        base_module(model)(input_ids=ids, attention_mask=torch.ones_like(ids), **options)
    finally:
        for handle in handles:
            handle.remove()
    return calls, caches[-1] if caches else None


def _text(model: PreTrainedModel) -> Tensor:
    table: Any = model.get_input_embeddings().weight
    first, apart = text_token(model), max(1, len(table) // (2 * N_TOKENS))
    ids = [(first + i * apart) % len(table) for i in range(N_TOKENS)]
    return torch.tensor([ids], device=table.device)


def _arguments(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        bound = _signature(module).bind_partial(*args, **kwargs).arguments
    except TypeError:
        return {}
    return {**bound.pop("kwargs", {}), **bound}


def _signature(module: nn.Module) -> inspect.Signature:
    """The signature of a module's own forward, whatever stands in its place now."""
    return inspect.signature(type(module).forward.__get__(module))


def _run(recurrence: Recurrence, call: _Call, states: Tensor, tokens: Tensor | None = None) -> Tensor:
    given = dict(call.arguments) if tokens is None else {**call.arguments, call.tokens: tokens}
    output, _ = begin(recurrence, call.module.forward, given, states, None)
    return output[0] if isinstance(output, tuple) else output


def _reads_state(recurrence: Recurrence, call: _Call) -> bool:
    """Whether a module asks its cache for a recurrent state: beside it, a layer may have an attention."""
    zeros = torch.zeros(1, *recurrence.size, dtype=recurrence.dtype, device=call.output.device)
    try:
        _, left = begin(recurrence, call.module.forward, call.arguments, zeros, None)
    except (AttributeError, NotImplementedError, TypeError):
        return False
    return left.was_read


def _tried(model: PreTrainedModel, name: str, found: Recurrence, call: _Call) -> Recurrence:
    """The layer, with the way in which it reads a text from a state.

    Raises:
        BackboneError: the layer reads no text from a state as it reads it token by token.
    """
    layer = f"whose recurrent layer {found.layer} ({type(call.module).__name__})"
    allowed = _rounding(call.output)
    steps = replace(found, in_steps=True)
    state = torch.zeros(1, *found.size, device=call.output.device, dtype=found.dtype)
    if _apart(_run(found, call, state), call.output) > allowed:
        raise _refusal(model, name, f"{layer} does not begin at a state of zeros by itself")
    if _apart(_run(steps, call, state), call.output) > allowed:
        raise _refusal(model, name, f"{layer} does not go on from its state token by token")
    noise = torch.randn(state.shape, generator=torch.Generator().manual_seed(0)).to(state)
    by_token, effect = call.output, 0.0
    for scale in (1, 10, 100, 1000):  # until the state is seen well in the output
        state = scale * noise
        by_token = _run(steps, call, state)
        effect = _apart(by_token, call.output)
        if effect > 0.5:
            break
    if not effect > 3 * allowed:
        raise _refusal(model, name, f"{layer} takes no notice of the state that it begins from")
    whole = _run(found, call, state)
    # A kernel for one token may bound its step sizes otherwise (Zamba-2's), which is no other state.
    same = _apart(whole, by_token) <= max(0.05 * _apart(call.output, by_token), allowed)
    same = same and _apart(_in_two(found, call, state), whole) <= allowed
    chosen = found if same else steps
    if not _passes_gradients(chosen, call, state):
        raise _refusal(model, name, f"{layer} passes no gradient to the state that it begins from")
    return chosen


def _in_two(recurrence: Recurrence, call: _Call, state: Tensor) -> Tensor:
    """The output where the layer goes on behind some of the tokens from the state that it left."""
    middle = N_TOKENS - 2
    parts = [
        {name: columns(value, *part, N_TOKENS) for name, value in call.arguments.items()}
        for part in ((0, middle), (middle, N_TOKENS))
    ]
    first, left = begin(recurrence, call.module.forward, parts[0], state, None)
    second = call.module.forward(**{**parts[1], call.cache: left})
    outputs = [output[0] if isinstance(output, tuple) else output for output in (first, second)]
    return torch.cat(outputs, dim=1)


def _passes_gradients(recurrence: Recurrence, call: _Call, state: Tensor) -> bool:
    state = state.clone().requires_grad_()
    tokens = call.arguments[call.tokens].clone().requires_grad_()
    with torch.enable_grad():
        try:
            output = _run(recurrence, call, state, tokens).float()
            found = torch.autograd.grad(output.square().sum(), [state, tokens], allow_unused=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            return False
    return all(g is not None and bool(g.isfinite().all()) and bool(g.any()) for g in found)


def _apart(came: Tensor, expected: Tensor) -> float:
    """By how much outputs differ, relative to their size."""
    if came.shape != expected.shape:
        return float("inf")
    return float((came - expected).float().norm() / expected.float().norm().clamp(min=1e-12))


def _rounding(output: Tensor) -> float:
    """By how much outputs may differ by rounding alone, relative to their size."""
    eps = torch.finfo(output.dtype).eps
    return eps**0.5 if output.dtype == torch.float32 and not output.is_cuda else max(0.01, 8 * eps)


def _refusal(model: PreTrainedModel, name: str, why: str) -> BackboneError:
    return BackboneError(
        "backbone",
        f"{name} ({model.config.model_type}), {why}",
        "a model with recurrent layers (state-space, linear attention) that can begin from a trained state",
        "use prompt_tuning, or prefix_tuning over the keys and values of its attentions",
    )
