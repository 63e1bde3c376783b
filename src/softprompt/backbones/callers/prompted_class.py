"""The class of a `PromptedModel`, which stands for the class of the frozen model."""

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from softprompt.backbones.callers.prompted_model import PromptedModel


class PromptedPart:
    """A part of a frozen model that can be called on its own (its base, a stack), under a prompt.

    Args:
        owner: whose prompt.
        module: the part; what else it has is its own.
    """

    def __init__(self, owner: "PromptedModel", module: nn.Module):
        self.owner = owner
        self.module = module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The part's own call, under the prompt."""
        return self.owner.learn(self.module, *args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The same."""
        return self(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in ("owner", "module"):
            raise AttributeError(name)
        return self.owner._handed(getattr(self.module, name), name)


@cache
def class_for(kind: type["PromptedModel"], model_class: type, headed: bool) -> type["PromptedModel"]:
    """The subclass of `PromptedModel` (or of a subclass of it) that stands for a model's class.

    Programs look at a class for two things: by its name transformers tells whether a loss is that of a causal
    model, whose labels are shifted, and in the signature of its `forward` Trainer finds the labels and which
    columns of a data set to keep.

    Args:
        kind: the class that is asked for.
        model_class: of the frozen model.
        headed: whether a head answers in place of the model's own.
    """
    if hasattr(kind, "made_from"):
        kind = kind.made_from  # type: ignore[attr-defined]
    signature = inspect.signature(model_class.forward)  # type: ignore[attr-defined]
    takes_labels = "labels" in signature.parameters
    if headed and not takes_labels:
        signature = _with_labels(signature)

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return kind.forward(self, *args, **kwargs)

    forward.__signature__ = signature  # type: ignore[attr-defined]
    forward.__doc__ = kind.forward.__doc__
    body: dict[str, Any] = {
        "forward": forward,
        "__doc__": kind.__doc__,
        "__module__": kind.__module__,
        "__qualname__": f"{kind.__qualname__}[{model_class.__name__}]",
        "made_from": kind,
        "stands_for": model_class,
        "headed": headed,
        "_takes_labels": takes_labels or headed,
    }
    if headed:
        # The head's loss is a mean over its targets; nothing of the model's own loss goes for it.
        body |= {"accepts_loss_kwargs": False, "loss_type": None}
    make: Any = type(kind)
    return make(kind.__name__ if headed else model_class.__name__, (kind,), body)


def _with_labels(signature: inspect.Signature) -> inspect.Signature:
    parameters = list(signature.parameters.values())
    labels = inspect.Parameter("labels", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
    after = [
        i for i, p in enumerate(parameters) if p.kind in (p.VAR_POSITIONAL, p.KEYWORD_ONLY, p.VAR_KEYWORD)
    ]
    place = after[0] if after else len(parameters)
    return signature.replace(parameters=[*parameters[:place], labels, *parameters[place:]])
