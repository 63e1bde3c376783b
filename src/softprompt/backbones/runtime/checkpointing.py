"""Gradient checkpointing under prompts: a recomputed layer gets the prompts of its own forward pass."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any

from torch import nn

from softprompt.backbones.dispatch import setting
from softprompt.errors import BackboneError

_NAME = "_gradient_checkpointing_func"
_RESUMED: ContextVar[tuple[Callable[[], AbstractContextManager[None]], ...]] = ContextVar(
    "resumed", default=()
)


@contextmanager
def resumed_by(resume: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Layers that are checkpointed within this context are recomputed in a context that `resume` gives."""
    with setting(_RESUMED, (*_RESUMED.get(), resume)):
        yield


class KeepsContext:
    """Takes the place of a model's checkpointing function; recomputes each function in its caller's context.

    The backward pass recomputes layers; on a GPU it does so in a thread of torch's own, which lacks the
    caller's context.

    Args:
        stock: torch's `checkpoint`, with the options that the model was given.
    """

    def __init__(self, stock: Callable[..., Any]):
        self.stock = stock

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Checkpoint a function."""
        return self.stock(_Again(function, copy_context()), *args, **kwargs)


class _Again:
    def __init__(self, function: Callable[..., Any], context: Context):
        self.function = function
        self.context = context

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.context.copy().run(self._resume, *args, **kwargs)

    def _resume(self, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as stack:
            for resume in _RESUMED.get():
                stack.enter_context(resume())
            return self.function(*args, **kwargs)


def active(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """The modules among these that recompute their activations now."""
    return [module for module in modules if getattr(module, "gradient_checkpointing", False)]


def keep_context(modules: Iterable[nn.Module]) -> None:
    """Make the checkpointing of these modules exact under prompts.

    Raises:
        BackboneError: the reentrant kind, which passes no gradient to a prompt.
    """
    for module in modules:
        stock = getattr(module, _NAME, None)
        if stock is None or isinstance(stock, KeepsContext):
            continue
        if _is_reentrant(stock):
            raise BackboneError(
                "gradient checkpointing",
                "the reentrant kind (torch's own default where use_reentrant is not given)",
                "the non-reentrant kind, which can pass gradients to a prompt",
                "enable it with gradient_checkpointing_kwargs={'use_reentrant': False}, or use "
                "backbone.training_mode(gradient_checkpointing=True)",
            )
        vars(module)[_NAME] = KeepsContext(stock)


def keeps_context(modules: Iterable[nn.Module]) -> bool:
    """Whether every module that can recompute its activations does so, and exactly under prompts."""
    able = [module for module in modules if hasattr(module, "gradient_checkpointing")]
    return active(able) == able and all(isinstance(getattr(m, _NAME, None), KeepsContext) for m in able)


def _is_reentrant(stock: Callable[..., Any]) -> bool:
    """Whether a checkpointing function is of the kind that passes gradients to its own inputs alone."""
    options = getattr(stock, "keywords", {})
    return bool(options.get("use_reentrant", True))
