"""The steps of a family between the output of its vocabulary matrix and its logits."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection.families import LOGIT_BIAS, LOGIT_STEPS
from softprompt.backbones.inspection.images import reads_pictures
from softprompt.backbones.inspection.probe import Recording


@dataclass(frozen=True)
class Finish:
    """The steps of a family between the output of its vocabulary matrix and its logits.

    Args:
        multiply: a factor (Cohere's `logit_scale`, Falcon-H1's `lm_head_multiplier`).
        divide: a divisor (Granite's `logits_scaling`); not a factor, which would round differently.
        cap: soft cap, `cap * tanh(logits / cap)` (Gemma's `final_logit_softcapping`).
        bias: added at the end, `[1, vocab]` (BART's `final_logits_bias`).
    """

    multiply: float | None = None
    divide: float | None = None
    cap: float | None = None
    bias: Tensor | None = None
    plain: bool = field(init=False)
    """Whether there are no steps."""

    def __post_init__(self) -> None:
        steps = (self.multiply, self.divide, self.cap, self.bias)
        object.__setattr__(self, "plain", all(step is None for step in steps))

    def __call__(self, logits: Tensor) -> Tensor:
        """The logits, `[row, vocab]`, in the precision of the input."""
        if self.multiply is not None:
            logits = logits * self.multiply
        if self.divide is not None:
            logits = logits / self.divide
        if self.cap is not None:
            logits = torch.tanh(logits / self.cap) * self.cap
        return logits if self.bias is None else logits + self.bias.to(logits.device)

    def slope_(self, gradient: Tensor, finished: Tensor) -> Tensor:
        """Turn the gradient of the logits into that of the matrix's output, in place.

        Args:
            gradient: `[row, vocab]`, float32.
            finished: the logits, `[row, vocab]`.
        """
        if self.cap is not None:
            capped = finished.float() if self.bias is None else finished.float() - self.bias.float()
            gradient.mul_(1 - (capped / self.cap).square())
        if self.divide is not None:
            gradient.div_(self.divide)
        return gradient if self.multiply is None else gradient.mul_(self.multiply)


def candidates(model: PreTrainedModel) -> list[Finish]:
    """The steps that a model may take after its vocabulary matrix, by its configuration."""
    config: Any = model.config.get_text_config()
    possible = [Finish()]
    for setting, step in LOGIT_STEPS:
        number = getattr(config, setting, None)
        if isinstance(number, float | int) and number:
            fields: dict[str, Any] = {step: number}
            possible.append(Finish(**fields))
    bias = getattr(model, LOGIT_BIAS, None)
    if isinstance(bias, Tensor):
        possible.append(Finish(bias=bias))
    return possible


def finish_of(model: PreTrainedModel, recording: Recording) -> Finish | None:
    """The steps after a model's vocabulary matrix, found in one pass; None if they are unknown.

    They give the model's own logits to the last bit.
    """
    matrix = None if reads_pictures(model) else model.get_output_embeddings()
    logits = recording.logits
    if type(matrix) is not nn.Linear or logits is None or recording.ended.count(matrix) != 1:
        return None
    raw = recording.gave[matrix]
    for finish in candidates(model) if raw.shape == logits.shape else []:
        if torch.equal(finish(raw).float(), logits.float()):
            return finish
    return None
