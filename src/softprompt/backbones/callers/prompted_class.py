"""The class of a `PromptedModel`, which looks like the class of the frozen model."""

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softprompt.backbones.callers.prompted_model import PromptedModel


@cache
def class_for(kind: type["PromptedModel"], model_class: type, headed: bool) -> type["PromptedModel"]:
    """The subclass of `PromptedModel` (or of a subclass of it) for a model class.

    transformers reads two facts from a class: its name tells whether the loss is that of a causal model,
    whose labels are shifted; the signature of `forward` tells Trainer the names of the labels, and the
    columns of a data set to keep.

    Args:
        kind: `PromptedModel` or a subclass.
        model_class: of the frozen model.
        headed: whether the prompt has a head, whose outputs replace those of the model.
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
        # The head has its own loss, a mean over its targets, to which the model's settings do not apply.
        body |= {"accepts_loss_kwargs": False, "loss_type": None}
    make: Any = type(kind)
    return make(kind.__name__ if headed else model_class.__name__, (kind,), body)


def _with_labels(signature: inspect.Signature) -> inspect.Signature:
    parameters = list(signature.parameters.values())
    labels = inspect.Parameter("labels", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
    place = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    return signature.replace(parameters=[*parameters[:place], labels, *parameters[place:]])
