"""What is undone on leaving a context, even where an interrupt (Ctrl-C) arrives while it is undone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def undone(undo: Callable[[], object]) -> Iterator[None]:
    """On leaving this context `undo` runs, and runs again where an interrupt stops it.

    Python may close a context late that an interrupt cut off: when it frees the interrupt's traceback.

    Args:
        undo: does no harm when it runs twice, or before all that it undoes was done.
    """
    try:
        yield
    finally:
        try:
            undo()
        except BaseException:
            undo()
            raise


@contextmanager
def setting(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Within this context a context variable has another value."""
    before, restores = variable.get(), True
    try:
        variable.set(value)
        yield
    except GeneratorExit:
        # Closed late, or in another context, where an enclosing context has set the variable since.
        restores = variable.get() is value
        raise
    finally:
        if restores:
            variable.set(before)
