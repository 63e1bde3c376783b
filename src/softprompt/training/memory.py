"""What a run held goes back to the machine when it ends."""

import ctypes
import gc
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def returned_after(run: Callable[P, T]) -> Callable[P, T]:
    """A function after which nothing that it made is held, but for what it returns.

    A run's parts know each other, and Python's collector counts objects rather than bytes: it would leave a
    finished run's optimizer in memory until many more runs had ended.
    """

    @wraps(run)
    def freeing(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return run(*args, **kwargs)
        finally:
            gc.collect()
            _trim()

    return freeing


def _trim() -> None:
    """Give the pages of freed tensors back; glibc keeps those of middle-sized ones otherwise."""
    if sys.platform != "linux":
        return
    # Other C libraries have no such function.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
