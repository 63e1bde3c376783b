"""What a family does to its vocabulary matrix's output before it calls it logits."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from softprompt.backbones.inspection.images import reads_pictures
from softprompt.backbones.inspection.probe import Recording


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
    plain: bool = field(init=False)
    """Whether it does nothing."""

    def __post_init__(self) -> None:
        does = (self.multiply, self.divide, self.cap, self.bias)
        object.__setattr__(self, "plain", all(step is None for step in does))

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


def candidates(model: PreTrainedModel) -> list[Finish]:
    """What the model may do behind its vocabulary matrix, from what its configuration says."""
    config: Any = model.config.get_text_config()
    found = [Finish()]
    for name, step_name in (
        ("logit_scale", "multiply"),
        ("lm_head_multiplier", "multiply"),
        ("logits_scaling", "divide"),
        ("final_logit_softcapping", "cap"),
    ):
        number = getattr(config, name, None)
        if isinstance(number, float | int) and number:
            step: dict[str, Any] = {step_name: number}
            found.append(Finish(**step))
    bias = getattr(model, "final_logits_bias", None)
    if isinstance(bias, Tensor):
        found.append(Finish(bias=bias))
    return found


def finish_of(model: PreTrainedModel, recording: Recording) -> Finish | None:
    """What follows a model's vocabulary matrix, as one pass shows it; None if nothing known does.

    What is found gives the model's own logits to the last bit.
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
