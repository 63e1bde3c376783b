"""Passes of one recurrent layer from a state: at once or token by token, without the padding on the left."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.recurrence.stand_in import StandIn
from softprompt.errors import BackboneError

PACKING = ("cu_seq_lens_q", "cu_seq_lens_k", "cu_seqlens", "seq_idx")
"""Arguments that say where the texts of a packed row end."""


@dataclass(frozen=True)
class Recurrence:
    """One layer with a recurrent state.

    Args:
        layer: its number in the cache.
        module: takes the states of all tokens, and the cache.
        signature: of its forward.
        tokens: the name of its argument with the states of the tokens, `[batch, seq, hidden]`.
        cache: the name of its argument with the cache.
        size: of its state, without the batch.
        dtype: of its state.
        in_steps: whether the layer reads a text token by token where it begins from a state, since it looks
            at a state only then.
    """

    layer: int
    module: nn.Module
    signature: inspect.Signature
    tokens: str
    cache: str
    size: tuple[int, ...]
    dtype: torch.dtype
    in_steps: bool = False


def is_cache(value: object) -> bool:
    """Whether an argument is a cache that recurrent layers could read their state from."""
    return hasattr(value, "get_recurrent_state") or hasattr(value, "get_linear_cache")


def held_state(cache: Any, layer: int) -> Tensor | None:
    """The recurrent state that a layer would go on from; None where the layer begins a text."""
    if hasattr(cache, "get_linear_cache"):
        state = cache.get_linear_cache(layer)
        return state if isinstance(state, Tensor) else None
    layers = getattr(cache, "layers", ())  # an encoder-decoder's cache has none
    if layer >= len(layers) or not hasattr(layers[layer], "recurrent_states"):
        return None
    return cache.get_recurrent_state(layer)


def holds_states(cache: Any) -> list[int]:
    """The layers whose recurrent states a cache holds."""
    n = len(cache.linear_cache if hasattr(cache, "linear_cache") else getattr(cache, "layers", ()))
    return [layer for layer in range(n) if held_state(cache, layer) is not None]


def first_tokens(mask: Any, n_tokens: int, name: str) -> Sequence[int] | None:
    """The column of each row's first real token; None where no row begins with padding.

    Args:
        mask: that a layer was given; None is no padding.
        n_tokens: columns of the pass.
        name: of the backbone, for errors.

    Raises:
        BackboneError: a mask that does not say which columns are padding, or a row of padding alone.
    """
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.ndim != 2 or mask.shape[1] < n_tokens:
        came = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise BackboneError(
            "attention_mask",
            f"{came}, where recurrent layers of {name} begin from a state",
            f"[batch, {n_tokens}], 1 at real tokens",
        )
    real = mask[:, -n_tokens:].ne(0)
    if not bool(real.any(dim=1).all()):
        raise BackboneError(
            "prompted",
            f"a first pass of {name} in which a row is padding alone, before its recurrent layers have begun",
            "real tokens in every row of the first pass",
            "give every row a token, and leave prefill_chunk_size out",
        )
    first = real.long().argmax(dim=1).tolist()
    return first if any(first) else None


def begin(
    recurrence: Recurrence,
    below: Callable[..., Any],
    given: Mapping[str, Any],
    states: Tensor,
    first: Sequence[int] | None,
) -> tuple[Any, StandIn]:
    """Run a layer whose recurrence begins from states, and give what it left too.

    The state must not fade before a row's first real token. So rows with padding on the left run without that
    padding, those with the same number of columns together; the outputs there are zeros.

    Args:
        recurrence: the layer.
        below: its forward.
        given: the arguments of the call, by name.
        states: one for each row, `[batch, *state]`.
        first: from `first_tokens`.
    """
    n_tokens = given[recurrence.tokens].shape[1]
    if first is None:
        return _begun(recurrence, below, given, states)
    outputs: list[Any] = []
    rows: list[Tensor] = []
    left: list[StandIn] = []
    for column in sorted(set(first)):
        index = [row for row, at in enumerate(first) if at == column]
        rows.append(torch.tensor(index, device=states.device))
        part = {
            name: columns(_of_rows(value, rows[-1], len(first)), column, n_tokens, n_tokens)
            for name, value in given.items()
        }
        output, standing = _begun(recurrence, below, part, states[rows[-1]])
        outputs.append(_padded(output, n_tokens - column, column))
        left.append(standing)
    back = torch.cat(rows).argsort()
    whole = StandIn(torch.cat([one.state for one in left])[back])
    for number in left[0].convolved:
        whole.convolved[number] = torch.cat([one.convolved[number] for one in left])[back]
    return _together(outputs, back), whole


def go_on(recurrence: Recurrence, below: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Run a layer from the state in its cache, and leave there what the gradients of this pass do not need.

    transformers' kernels and caches write into the state that they read, which ends the gradients that came
    through it.

    Args:
        recurrence: the layer.
        below: its forward.
        given: the arguments of the call, by name.
    """
    cache = given[recurrence.cache]
    state = held_state(cache, recurrence.layer)
    assert state is not None
    layer = cache.layers[recurrence.layer] if recurrence.layer < len(cache.layers) else None
    inputs = getattr(layer, "conv_states", {})
    standing = StandIn(state, {number: kept for number, kept in inputs.items() if kept is not None})
    with _kept_as_saved(standing):
        output = below(**{**given, recurrence.cache: standing})
    standing.fill(cache, recurrence.layer)
    return output


def _begun(
    recurrence: Recurrence, below: Callable[..., Any], given: Mapping[str, Any], states: Tensor
) -> tuple[Any, StandIn]:
    standing = StandIn(states)
    n_tokens = given[recurrence.tokens].shape[1]
    if not recurrence.in_steps:
        return below(**{**given, recurrence.cache: standing}), standing
    outputs = []
    for token in range(n_tokens):
        step = {name: columns(value, token, token + 1, n_tokens) for name, value in given.items()}
        mask = step.get("attention_mask")
        if isinstance(mask, Tensor):  # which layers do not look at in a pass of one token
            tokens = step[recurrence.tokens]
            step |= {recurrence.tokens: tokens * mask.to(tokens)[..., None], "attention_mask": None}
        with _kept_as_saved(standing):
            outputs.append(below(**{**step, recurrence.cache: standing}))
    return _in_a_row(outputs), standing


def _kept_as_saved(standing: StandIn) -> AbstractContextManager[Any]:
    """Within this context a state that was saved for the backward pass is not the one that a kernel then
    writes the next state into."""
    if not torch.is_grad_enabled():
        return nullcontext()

    def pack(tensor: Tensor) -> Tensor:
        shared = tensor.untyped_storage().data_ptr() == standing.state.untyped_storage().data_ptr()
        return tensor.clone() if shared else tensor

    return torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)


def _of_rows(value: Any, rows: Tensor, batch: int) -> Any:
    if isinstance(value, Tensor) and value.ndim and value.shape[0] == batch:
        return value[rows.to(value.device)]
    if isinstance(value, tuple | list):
        return type(value)(_of_rows(part, rows, batch) for part in value)
    return value


def columns(value: Any, begin: int, end: int, n_tokens: int) -> Any:
    """The part of an argument for some columns of a pass over `n_tokens`: of tensors `[batch, seq, ...]` and
    `[seq]`."""
    if isinstance(value, Tensor):
        if value.ndim > 1 and value.shape[1] >= n_tokens and value.ndim < 4:
            offset = value.shape[1] - n_tokens  # a mask also has the columns of earlier passes
            return value[:, offset + begin : offset + end]
        return value[begin:end] if value.ndim == 1 and len(value) == n_tokens else value
    if isinstance(value, tuple | list):
        return type(value)(columns(part, begin, end, n_tokens) for part in value)
    return value


def _padded(output: Any, n_tokens: int, missing: int) -> Any:
    """An output with zeros for the columns in front that were left out."""
    if isinstance(output, Tensor) and output.ndim == 3 and output.shape[1] == n_tokens:
        return nn.functional.pad(output, (0, 0, missing, 0))
    if isinstance(output, tuple):
        return tuple(_padded(part, n_tokens, missing) for part in output)
    return output


def _together(outputs: Sequence[Any], back: Tensor) -> Any:
    """The outputs of some rows each as one, in the order of the batch."""
    if isinstance(outputs[0], Tensor):
        return torch.cat(list(outputs))[back]
    if isinstance(outputs[0], tuple):
        return tuple(_together(parts, back) for parts in zip(*outputs, strict=True))
    return outputs[0]


def _in_a_row(outputs: Sequence[Any]) -> Any:
    """The outputs of one token each as one; of what is no token's, the last."""
    if isinstance(outputs[0], tuple):
        return tuple(_in_a_row(parts) for parts in zip(*outputs, strict=True))
    if isinstance(outputs[0], Tensor) and outputs[0].ndim == 3 and outputs[0].shape[1] == 1:
        return torch.cat(list(outputs), dim=1)
    return outputs[-1]
