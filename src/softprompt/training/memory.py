"""Memory of a run: freed when the run ends, and an error of softprompt where it is too small."""

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
    """Wrap a function so that everything it allocated, apart from its result, is freed when it returns.

    The parts of a run refer to each other, and Python's garbage collector counts objects, not bytes: without
    an explicit collection, a finished run's optimizer stays in memory until many more runs have ended.
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
    """Return freed pages to the system; glibc would keep those of middle-sized tensors."""
    if sys.platform != "linux":
        return
    # Other C libraries have no such function.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
