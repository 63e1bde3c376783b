"""Cross-entropy over the vocabulary that never holds all logits at once."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from softprompt.backbones.inspection.images import reads_pictures
from softprompt.backbones.inspection.spec import probe
from softprompt.backbones.loading.quantization import is_packed

CHUNK_BYTES = 32 * 2**20
"""Float32 logits that are held at once."""


@dataclass(frozen=True)
class Finish:
    """What a family does to the vocabulary matrix's output before it calls it logits.

    Args:
        multiply: a factor (Cohere's `logit_scale`, Falcon-H1's `lm_head_multiplier`).
        divide: a divisor (Granite's `logits_scaling`); kept apart from a factor because it rounds otherwise.
        cap: soft cap, `cap * tanh(logits / cap)` (Gemma's `final_logit_softcapping`).
        bias: added at the end, `[1, vocab]` (BART's `final_logits_bias`).
    """

    multiply: float | None = None
    divide: float | None = None
    cap: float | None = None
    bias: Tensor | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """The logits as the family gives them, `[row, vocab]`, in the precision that came."""
        if self.multiply is not None:
            logits = logits * self.multiply
        if self.divide is not None:
            logits = logits / self.divide
        if self.cap is not None:
            logits = torch.tanh(logits / self.cap) * self.cap
        return logits if self.bias is None else logits + self.bias.to(logits.device)

    def slope_(self, gradient: Tensor, finished: Tensor) -> Tensor:
        """Turn, in place, a gradient by the finished logits into one by the matrix's output.

        Args:
            gradient: `[row, vocab]`, float32.
            finished: what the call gave, `[row, vocab]`.
        """
        if self.cap is not None:
            bare = finished.float() if self.bias is None else finished.float() - self.bias.float()
            gradient.mul_(1 - (bare / self.cap).square())
        if self.divide is not None:
            gradient.div_(self.divide)
        return gradient if self.multiply is None else gradient.mul_(self.multiply)

    @property
    def plain(self) -> bool:
        """Whether it does nothing."""
        return self == Finish()


def candidates(model: PreTrainedModel) -> list[Finish]:
    """What the model may do behind its vocabulary matrix, from what its configuration says."""
    config: Any = model.config.get_text_config()
    found = [Finish()]
    for name, field in (
        ("logit_scale", "multiply"),
        ("lm_head_multiplier", "multiply"),
        ("logits_scaling", "divide"),
        ("final_logit_softcapping", "cap"),
    ):
        number = getattr(config, name, None)
        if isinstance(number, float | int) and number:
            step: dict[str, Any] = {field: number}
            found.append(Finish(**step))
    bias = getattr(model, "final_logits_bias", None)
    if isinstance(bias, Tensor):
        found.append(Finish(bias=bias))
    return found


@torch.no_grad()
def finish_of(model: PreTrainedModel) -> Finish | None:
    """What follows a model's vocabulary matrix, found by running it once; None if nothing known does.

    What is found gives the model's own logits to the last bit.
    """
    matrix = None if reads_pictures(model) else model.get_output_embeddings()
    if type(matrix) is not nn.Linear:
        return None
    raw: list[Any] = []
    handle = matrix.register_forward_hook(lambda _, args, output: raw.append(output))
    try:
        logits = probe(model, whole=True).logits
    finally:
        handle.remove()
    for finish in candidates(model) if len(raw) == 1 and raw[0].shape == logits.shape else []:
        if torch.equal(finish(raw[0]).float(), logits.float()):
            return finish
    return None


def is_alone(matrix: Any) -> bool:
    """Whether nothing is put on a vocabulary matrix that would have to run with it."""
    if matrix._forward_hooks or matrix._forward_pre_hooks or is_packed(matrix.weight):
        return False
    return not torch.is_autocast_enabled(matrix.weight.device.type)


def is_frozen(matrix: Any) -> bool:
    """Whether a vocabulary matrix learns nothing; what a prompt has laid over its own tensors does."""
    return not any(t is not None and t.requires_grad for t in (matrix.weight, matrix.bias))


def cross_entropy(
    states: Tensor, matrix: nn.Linear, wanted: Tensor, finish: Finish, chunk_bytes: int | None = None
) -> Tensor:
    """Negative log-likelihoods of tokens, from the states that the vocabulary matrix reads.

    The same numbers as `F.cross_entropy(finish(matrix(states)).float(), wanted)`: logits in the model's
    precision, everything behind them in float32. A chunk of rows at a time; the gradient by the states
    is computed beside the loss, so that the backward pass is one multiplication.

    Args:
        states: `[row, hidden]`.
        matrix: frozen, with nothing put on it.
        wanted: token ids, `[row]`.
        finish: what follows the matrix in this family.
        chunk_bytes: float32 logits held at once; None is `CHUNK_BYTES`.

    Returns:
        `[row]`, float32; differentiable once, by `states` alone.
    """
    rows = max(1, (chunk_bytes or CHUNK_BYTES) // (4 * matrix.out_features))
    losses = _CrossEntropy.apply(states, matrix.weight, matrix.bias, wanted, finish, rows)
    assert isinstance(losses, Tensor)
    return losses


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        wanted: Tensor,
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
            at = wanted[part, None]
            losses[part] = -logs[:n].gather(1, at)[:, 0]
            if slopes is None:
                continue
            gradient = logs[:n].exp_().scatter_add_(1, at, logs.new_full(at.shape, -1.0))
            slopes[part] = finish.slope_(gradient, finished).to(weight.dtype) @ weight
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_row: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return (slopes * by_row[:, None]).to(slopes.dtype), None, None, None, None, None
