"""What a pass could leave behind: on a model, in its context, and in tables that all models share."""

from contextvars import copy_context
from typing import Any

from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks
from transformers import AttentionInterface, AttentionMaskInterface

from softprompt.backbones.attention import interface, kernels
from softprompt.backbones.dispatch import patching
from support.modules import standing_on


def leftovers(model: nn.Module) -> dict[str, Any]:
    """All that a pass could leave, by name; equal before and after."""
    context = {variable.name: value for variable, value in copy_context().items()}
    ours = {f"context {name}": value for name, value in context.items() if name in _OURS and value}
    shared = {
        "attention functions": dict(AttentionInterface._global_mapping),
        "mask functions": dict(AttentionMaskInterface._global_mapping),
        "replaced attributes": dict(patching._REPLACED),
        "acting": set(interface._ACTING),
        "kernels left out": set(kernels._USERS),
        "hooks of optimizers": dict(_global_optimizer_post_hooks),
    }
    return {**standing_on(model), **ours, **shared}


_OURS = {"overrides", "sessions", "turns", "calls", "attention", "watches", "resumed", "by_hand"}
"""Names of the package's context variables."""
