"""Modules and methods of a frozen model as a `PromptedModel` gives them out: their calls have the prompt."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from softprompt.backbones.callers.prompted_model import PromptedModel

_UNPROMPTED = frozenset({
    "add_memory_hooks", "disable_input_require_grads", "enable_input_require_grads", "estimate_tokens",
    "floating_point_ops", "get_input_embeddings", "get_memory_footprint", "get_position_embeddings",
    "is_backend_compatible", "resize_token_embeddings", "set_attn_implementation", "set_input_embeddings",
    "set_output_embeddings", "tie_weights",
})  # fmt: skip
"""Methods of a model that run no forward pass, and so are given out as they are."""


class PromptedPart:
    """A part of a frozen model that can be called by itself (its base model, a stack), under a prompt.

    Every other attribute is that of the part.

    Args:
        owner: the model with the prompt.
        module: the part.
    """

    def __init__(self, owner: "PromptedModel", module: nn.Module):
        self.owner = owner
        self.module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the part under the prompt."""
        return self.owner.learn(self.module, *args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the part under the prompt."""
        return self(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in ("owner", "module"):
            raise AttributeError(name)
        return under_prompt(self.owner, getattr(self.module, name), name)


def under_prompt(owner: "PromptedModel", value: Any, name: str = "") -> Any:
    """An attribute or a result of the frozen model; if it is a part or a method, its calls have the prompt.

    Args:
        owner: the model with the prompt.
        value: the attribute or result.
        name: of the attribute.
    """
    entries = owner.backbone.map.entries
    if isinstance(value, nn.Module) and any(value is entry for entry in entries):
        return PromptedPart(owner, value)
    bound_to = getattr(value, "__self__", None)
    if name in _UNPROMPTED or not any(bound_to is entry for entry in entries):
        return value
    return _prompted_method(owner, value)


def _prompted_method(owner: "PromptedModel", method: Callable[..., Any]) -> Callable[..., Any]:
    def prompted(*args: Any, **kwargs: Any) -> Any:
        return under_prompt(owner, owner.run(method, *args, **kwargs))

    prompted.__name__ = getattr(method, "__name__", "method")
    prompted.__wrapped__ = method  # type: ignore[attr-defined]
    return prompted
