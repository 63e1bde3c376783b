"""One writer of a folder at a time, in whatever process."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softprompt.errors import PromptError

PATIENCE_S = 60.0
"""How long to wait for another writer of the same folder."""


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Keep other writers of a folder out, without a file in it; gives whether the folder could be locked.

    Raises:
        PromptError: another process has been writing there for `PATIENCE_S`.
    """
    lock = _lock(folder)
    if lock is None:
        yield False
        return
    try:
        yield True
    finally:
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """The descriptor of the lock; None where the file system has no locks."""
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(folder)
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    return _patiently(descriptor, folder, lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))


def _lock_on_windows(folder: Path) -> int | None:
    """A lock on a file in the folder of temporary files, since Windows locks no folders."""
    import msvcrt

    name = hashlib.sha256(os.path.normcase(os.path.realpath(folder)).encode()).hexdigest()
    try:
        descriptor = os.open(
            Path(tempfile.gettempdir()) / f"softprompt-{name[:32]}.lock", os.O_RDWR | os.O_CREAT
        )
    except OSError:
        return None
    locking: Any = msvcrt
    return _patiently(descriptor, folder, lambda: locking.locking(descriptor, locking.LK_NBLCK, 1))


def _patiently(descriptor: int, folder: Path, lock: Callable[[], object]) -> int | None:
    """Try until the lock is free; the descriptor, or None where the file system has no locks."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            lock()
            return descriptor
        except (BlockingIOError, PermissionError):
            if time.monotonic() > end:
                os.close(descriptor)
                raise PromptError(
                    str(folder),
                    f"another process that has been saving there for {PATIENCE_S:.0f} seconds",
                    "one writer at a time",
                    "end it, or save to another folder",
                ) from None
            time.sleep(0.005)
        except OSError:  # no locks here
            os.close(descriptor)
            return None
