"""The optimizer of a run, and what of its state goes into a checkpoint."""

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
    AdamW's is not. Deviation: its code takes SGD in place of AdamW where weight decay is 0; here what is
    asked for is taken.

    Args:
        groups: of parameters, each with its rate.
        settings: of the training.
        device: where the parameters are.
    """
    # One pass over the memory instead of ten; elsewhere torch's own choice is as fast.
    fused = device.type == "cpu" or None
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=fused)
    momentum, decay = settings.momentum, settings.weight_decay
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=momentum, weight_decay=decay)


def parameter_groups(named: Mapping[str, nn.Parameter], settings: TrainingSettings) -> list[dict[str, Any]]:
    """The prompt's, the head's and the tuned backbone tensors, and each group's share of the rate."""
    rate = settings.learning_rate
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
    # An optimizer of nothing is refused; a dummy never steps, because there are no steps then.
    return found or [{"params": [nn.Parameter(torch.zeros(0))], "share": 1.0}]


def state_tensors(optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """What the optimizer remembers of each parameter, by `parameter/what`."""
    return {
        f"{name}/{key}": value
        for name, parameter in named.items()
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None  # SGD has no velocity before its first step, and none without momentum
    }


def load_state(
    optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Put back what `state_tensors` gave.

    Raises:
        KeyError: another optimizer's.
    """
    wanted = ("step", "exp_avg", "exp_avg_sq")
    wanted = wanted if isinstance(optimizer, torch.optim.AdamW) else ("momentum_buffer",)
    _check(wanted, tensors)
    for name, parameter in named.items():
        # Before the first step there is none, and never where no gradient came.
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
