"""The forward pass of a `PromptedModel` whose prompt has a head: its outputs, and their mean loss."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from softprompt.errors import PromptError

if TYPE_CHECKING:
    from softprompt.backbones.callers.prompted_model import PromptedModel

IGNORED = -100
"""The label of a token that is left out of the loss."""


def _one_of(outputs: Tensor, labels: Tensor) -> Tensor:
    if labels.is_floating_point() and labels.shape == outputs.shape:  # several labels at once
        return nn.functional.binary_cross_entropy_with_logits(outputs, labels.float())
    return nn.functional.cross_entropy(outputs, labels.flatten())


def _each_token(outputs: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def _number(outputs: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.mse_loss(outputs[:, 0], labels.flatten().float())


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sequence": _one_of, "picture": _one_of, "token": _each_token, "value": _number,
}  # fmt: skip
"""The mean loss of each kind of head that a module can have. `labels` are indices (-100 leaves a token
out), of several labels at once 1.0 and 0.0 for each, or numbers for a `value` head."""

_IGNORED_KEYWORDS = ("return_dict", "use_cache", "num_items_in_batch")
"""Keywords that programs pass to every model, and that do not change the outputs of a head."""


def read_head(model: "PromptedModel", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The outputs of a head on one batch.

    Args:
        model: one whose prompt has a head.
        args: as for the frozen model.
        kwargs: as for the frozen model, and `labels`, `[row]` or, for a `token` head, `[row, seq]`.

    Returns:
        `logits`, `[row, output]` or `[row, seq, output]` in float32, and the mean `loss` if there are labels.

    Raises:
        PromptError: a kind of head that needs more than one batch, or an unknown keyword.
    """
    head = model.prompt.head
    assert head is not None
    kind = head.card.kind
    if kind not in LOSSES:
        raise PromptError(
            "PromptedModel",
            f"a prompt with a {kind} head",
            f"one of {', '.join(LOSSES)}, or none",
            "train it with softprompt's own tasks (softprompt train), which read inputs for such a head",
        )
    names = list(inspect.signature(type(model).forward).parameters)[1:]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    given = {k: v for k, v in given.items() if v is not None and k not in _IGNORED_KEYWORDS}
    labels = given.pop("labels", None)
    wrong = [k for k, v in given.items() if not isinstance(v, Tensor)]
    if wrong:
        raise PromptError(
            "PromptedModel",
            f"{wrong[0]}={given[wrong[0]]} for a prompt with a head",
            "tensors",
            "leave it out",
        )
    states, mask = model.learn(_states, model, given)
    outputs = head(states, mask)
    loss = None if labels is None else LOSSES[kind](outputs, labels.to(outputs.device))
    return SequenceClassifierOutput(loss=loss, logits=outputs)  # type: ignore[arg-type]


def _states(model: "PromptedModel", inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    backbone = model.backbone
    if backbone.vision is not None:
        return backbone.look(inputs["pixel_values"])
    states = backbone.read(inputs)
    mask = inputs.get("attention_mask")
    return states, torch.ones(states.shape[:2], device=states.device) if mask is None else mask
