"""Checks of training loops: that they clear a prompt's gradients, and that processes average them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle, unserializable_hook

from softprompt.backbones.dispatch import setting, undone
from softprompt.backbones.loading import is_sharded
from softprompt.errors import BackboneError

_BY_HAND: ContextVar[bool] = ContextVar("by_hand", default=False)
_STEPPED = "_softprompt_stepped"
"""On a gradient: its version when an optimizer took a step by it."""


@contextmanager
def gradients_by_hand() -> Iterator[None]:
    """Within this context the caller clears and averages the gradients of prompts, and no check refuses it.

    `PromptedModel` needs no such context: a loop that trains a module clears and averages its gradients.
    """
    with setting(_BY_HAND, True):
        yield


def check_averaged(parameters: Iterable[nn.Parameter]) -> None:
    """Refuse a prompt that learns in several processes outside of anything that averages its gradients.

    torch's DistributedDataParallel averages what its module holds, in the module's own calls; a tensor that
    is sharded (DTensor) is averaged by its own means.

    Raises:
        BackboneError: each process would end with a prompt of its own.
    """
    n = torch.distributed.get_world_size()
    within = getattr(nn.parallel.DistributedDataParallel, "_active_ddp_module", None)
    if n < 2 or _BY_HAND.get() or within is not None:
        return
    if any(map(is_sharded, parameters)):
        return
    raise BackboneError(
        "prompted",
        f"a prompt that learns in {n} processes, outside of a module that averages their gradients",
        "gradients that are the same in every process",
        "give accelerate or DistributedDataParallel a softprompt.PromptedModel(backbone, prompt) and call "
        "that; a loop that averages them itself runs within softprompt.gradients_by_hand()",
    )


@contextmanager
def refusing_stale_gradients(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Within this context a gradient is refused that would be added to one of a step already taken.

    A loop over a module that contains the frozen model clears that module's gradients, not the prompt's: from
    the second step on the prompt would be trained on the sum of all gradients since the first.

    Args:
        parameters: of prompts.

    Raises:
        BackboneError: in the backward pass that would add them up.
    """
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    if not learning or _BY_HAND.get():
        yield
        return
    own = set(map(id, learning))

    def note(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if _BY_HAND.get():  # entered after this context
            return
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            if id(parameter) in own and parameter.grad is not None:
                setattr(parameter.grad, _STEPPED, parameter.grad._version)

    handles: list[RemovableHandle] = []

    def undo() -> None:
        for handle in handles:
            handle.remove()

    with undone(undo):
        handles.append(register_optimizer_step_post_hook(note))
        for parameter in learning:
            handles.append(parameter.register_hook(_before_adding(parameter)))
        yield


def _before_adding(parameter: nn.Parameter) -> Any:
    @unserializable_hook
    def check(gradient: Tensor) -> None:
        grad = parameter.grad
        if grad is not None and getattr(grad, _STEPPED, None) == grad._version:
            raise BackboneError(
                "prompted",
                "a backward pass whose gradients would be added to those of a step that was already taken",
                "gradients that are cleared after every step",
                "call optimizer.zero_grad(); a trainer that clears a module's gradients (Trainer, "
                "accelerate) takes softprompt.PromptedModel(backbone, prompt) as that module or within it; "
                "where they are to add up, run within softprompt.gradients_by_hand()",
            )

    return check
