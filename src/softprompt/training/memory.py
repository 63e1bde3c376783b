"""Memory: what a run held goes back to the machine when it ends, and too little of it is an error of ours."""

import ctypes
import gc
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from softprompt.errors import TrainingError, first_line

_TOO_LITTLE = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
"""How torch's allocators begin their errors."""

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


@contextmanager
def enough_memory() -> Iterator[None]:
    """Enter it around a run: too little memory, of the machine or of its accelerator, becomes a sentence.

    Raises:
        TrainingError: with the exception as its cause.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch's own class for accelerators is a RuntimeError; the processor's allocator has none.
        if not isinstance(error, MemoryError) and not _TOO_LITTLE.search(str(error)):
            raise
        do = "lower training.batch_size or method.length, or raise training.accumulation"
        raise TrainingError("memory", first_line(error), "enough of it for a step", do) from error


def _trim() -> None:
    """Give the pages of freed tensors back; glibc keeps those of middle-sized ones otherwise."""
    if sys.platform != "linux":
        return
    # Other C libraries have no such function.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
