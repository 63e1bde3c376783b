"""The optimizer of a run, and its state in checkpoints."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.config import TrainingSettings


def build_optimizer(
    groups: list[dict[str, Any]], settings: TrainingSettings, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum.

    Source: Visual Prompt Tuning (arXiv 2203.12119), appendix: SGD with momentum 0.9 trains prompts and
    probes, AdamW whatever tunes the backbone. As in its code, SGD's weight decay is part of the gradient,
    AdamW's is not. Deviation: that code replaces AdamW by SGD where weight decay is 0; here the setting
    decides alone.

    Args:
        groups: of parameters, each with its rate.
        settings: of the training.
        device: where the parameters are.
    """
    # On a CPU one pass over the memory instead of ten; elsewhere torch's own choice is as fast.
    fused = device.type == "cpu" or None
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=fused)
    momentum, decay = settings.momentum, settings.weight_decay
    return torch.optim.SGD(groups, lr=settings.rate, momentum=momentum, weight_decay=decay)


def parameter_groups(named: Mapping[str, nn.Parameter], settings: TrainingSettings) -> list[dict[str, Any]]:
    """The prompt's, the head's and the tuned backbone tensors, and each group's share of the rate."""
    rate = settings.rate
    rates = {"": rate, "head": settings.head_learning_rate, "_weights": settings.backbone_learning_rate}
    groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in rates}
    for name, parameter in named.items():
        kind = next((kind for kind in ("head", "_weights") if kind in name.split(".")), "")
        groups[kind].append(parameter)
    found: list[dict[str, Any]] = [
        {"params": some, "lr": rate, "share": (rates[kind] or rate) / rate}
        for kind, some in groups.items()
        if some
    ]
    # torch refuses an optimizer without parameters. The dummy never moves, as such a run has no steps.
    return found or [{"params": [nn.Parameter(torch.zeros(0))], "share": 1.0}]


def state_tensors(optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The optimizer's tensors of each parameter, by `parameter/key`."""
    return {
        f"{name}/{key}": value
        for name, parameter in named.items()
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None  # SGD has no buffer before its first step, and none without momentum
    }


def load_state(
    optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Restore the tensors of `state_tensors`.

    Raises:
        KeyError: the tensors are those of another optimizer.
    """
    wanted = ("step", "exp_avg", "exp_avg_sq")
    wanted = wanted if isinstance(optimizer, torch.optim.AdamW) else ("momentum_buffer",)
    _check(wanted, tensors)
    for name, parameter in named.items():
        # A parameter without a gradient so far has no state.
        if f"{name}/{wanted[0]}" not in tensors:
            continue
        optimizer.state[parameter] = {
            # AdamW keeps its step counter on the CPU.
            key: tensors[f"{name}/{key}"] if key == "step" else tensors[f"{name}/{key}"].to(parameter.device)
            for key in wanted
        }


def _check(wanted: Iterable[str], tensors: Mapping[str, Tensor]) -> None:
    for name in tensors:
        if name.rpartition("/")[2] not in wanted:
            raise KeyError(name)
