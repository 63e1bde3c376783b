"""Training a prompt in a loop written by hand in plain torch, which other libraries' trainers must equal."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.prompts.prompt import Prompt
from support.tiny import ids

LR = 0.05


def examples(n: int = 8, length: int = 9, seed: int = 0) -> list[dict[str, Tensor]]:
    """Random texts whose labels are the texts themselves."""
    return [{"input_ids": row, "labels": row} for row in ids(n, length, seed)]


def batches(rows: Sequence[dict[str, Tensor]], size: int, steps: int) -> list[dict[str, Tensor]]:
    """The rows in their order, again from the beginning when they end."""
    places = [[(step * size + i) % len(rows) for i in range(size)] for step in range(steps)]
    return [{name: torch.stack([rows[i][name] for i in some]) for name in rows[0]} for some in places]


def model_loss(backbone: Backbone, prompt: Prompt | None, batch: dict[str, Tensor]) -> Tensor:
    """The frozen model's own loss under a prompt."""
    with backbone.prompted(prompt):
        return backbone.model(**batch).loss


def train(
    prompt: nn.Module,
    loss_of: Callable[[Any], Tensor],
    given: Iterable[Any],
    *,
    lr: float = LR,
    clip: float | None = 1.0,
    accumulation: int = 1,
    weight_decay: float = 0.0,
) -> list[float]:
    """Losses of every batch; AdamW, a constant rate, the mean of each step's batches.

    Args:
        prompt: what learns.
        loss_of: the loss of one batch.
        given: the batches.
        lr: learning rate.
        clip: largest norm of the gradients; None leaves them.
        accumulation: batches in a step.
        weight_decay: AdamW's.
    """
    prompt.train()
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=lr, weight_decay=weight_decay)
    losses = []
    for i, batch in enumerate(given):
        loss = loss_of(batch)
        (loss / accumulation).backward()
        losses.append(loss.item())
        if (i + 1) % accumulation == 0:
            if clip is not None:
                nn.utils.clip_grad_norm_(prompt.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad()
    return losses


def logged_losses(trainer: Any) -> list[float]:
    """What a trainer of transformers' logged, rounded as it does."""
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


def assert_same(prompt: nn.Module, other: nn.Module, atol: float = 1e-5) -> None:
    """Two prompts hold the same numbers; a step of AdamW is `LR` long, a fraction of which would be seen."""
    ours, theirs = list(prompt.parameters()), list(other.parameters())
    assert len(ours) == len(theirs)
    for mine, yours in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, yours, atol=atol, rtol=0)


def moved(prompt: nn.Module, before: nn.Module) -> float:
    """The largest change of a parameter."""
    pairs = zip(prompt.parameters(), before.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)
