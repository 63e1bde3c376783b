"""Losses at chosen positions alone, without ever holding all logits at once."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softprompt.backbones.dispatch import Forward, Override, overridden
from softprompt.backbones.inspection import Finish

CHUNK_BYTES = 32 * 2**20
"""Float32 logits that are held at once."""


def choosing(labelled: Tensor) -> Override:
    """Give a vocabulary matrix the chosen positions only, as one row.

    Args:
        labelled: boolean, `[batch, seq]`.
    """

    def chosen(below: Forward, states: Tensor) -> Any:
        return below(states[labelled.to(states.device)][None])

    return chosen


def choosing_states(labelled: Tensor) -> Override:
    """Have a base model give the states of the chosen positions only, as one row; argument as `choosing`."""

    def chosen(below: Forward, *args: Any, **kwargs: Any) -> Any:
        output = below(*args, **kwargs)
        states = output[0][labelled.to(output[0].device)][None]
        if isinstance(output, tuple):
            return (states, *output[1:])
        output.last_hidden_state = states
        return output

    return chosen


def keeping(kept: list[Tensor]) -> Override:
    """Keep the inputs of a vocabulary matrix, and compute the logits of no position.

    Args:
        kept: to which the inputs are appended, `[batch, seq, hidden]`.
    """

    def keep(below: Forward, states: Tensor) -> Any:
        kept.append(states)
        return below(states[:, :0])

    return keep


def is_alone(matrix: Any) -> bool:
    """Whether a vocabulary matrix is a plain linear layer, without hooks, overrides or autocast."""
    if type(matrix.weight) not in (Tensor, nn.Parameter) or not matrix.weight.is_floating_point():
        return False  # quantised, or shared out
    if matrix._forward_hooks or matrix._forward_pre_hooks or overridden(matrix):
        return False
    return not torch.is_autocast_enabled(matrix.weight.device.type)


def is_frozen(matrix: Any) -> bool:
    """Whether a vocabulary matrix takes no gradients; a prompt's tensors in its place may take some."""
    return not any(t is not None and t.requires_grad for t in (matrix.weight, matrix.bias))


def cross_entropy(
    states: Tensor, matrix: nn.Linear, targets: Tensor, finish: Finish, chunk_bytes: int | None = None
) -> Tensor:
    """Negative log-likelihoods of tokens, from the states that the vocabulary matrix reads.

    The same numbers as `F.cross_entropy(finish(matrix(states)).float(), targets)`: logits in the model's
    precision, everything behind them in float32. A chunk of rows at a time; the gradient by the states
    is computed beside the loss, so that the backward pass is one multiplication.

    Args:
        states: `[row, hidden]`.
        matrix: frozen, and a plain layer (see `is_alone`).
        targets: token ids, `[row]`.
        finish: what follows the matrix in this family.
        chunk_bytes: float32 logits held at once; None is `CHUNK_BYTES`.

    Returns:
        `[row]`, float32; differentiable once, by `states` alone.
    """
    rows = max(1, (chunk_bytes or CHUNK_BYTES) // (4 * matrix.out_features))
    losses = _CrossEntropy.apply(states, matrix.weight, matrix.bias, targets, finish, rows)
    assert isinstance(losses, Tensor)
    return losses


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        finish: Finish,
        rows: int,
    ) -> Tensor:
        losses = torch.empty(len(states), dtype=torch.float32, device=states.device)
        slopes = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        # Buffers that every chunk uses again: fresh pages cost as much as the arithmetic on them.
        size = (min(rows, len(states)), weight.shape[0])
        logits, logs = (torch.empty(size, dtype=torch.float32, device=states.device) for _ in range(2))
        for start in range(0, len(states), rows):
            part = slice(start, start + rows)
            raw = F.linear(states[part], weight, bias)
            finished = raw if finish.plain else finish(raw)
            n = len(raw)
            torch.log_softmax(logits[:n].copy_(finished), -1, out=logs[:n])
            at = targets[part, None]
            losses[part] = -logs[:n].gather(1, at)[:, 0]
            if slopes is None:
                continue
            gradient = logs[:n].exp_().scatter_add_(1, at, logs.new_full(at.shape, -1.0))
            gradient = gradient if finish.plain else finish.slope_(gradient, finished)
            slopes[part] = gradient.to(weight.dtype) @ weight
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_row: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return (slopes * by_row[:, None]).to(slopes.dtype), None, None, None, None, None
