"""One writer of a folder at a time, in whatever process; a lock ends with its process, however that ends."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from softprompt.errors import PromptError

try:
    import fcntl
except ImportError:  # Windows locks files, and no folders
    fcntl = None

PATIENCE_S = 60.0
"""How long to wait for another writer of the same folder."""


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Keep other writers of a folder out, without a file in it; gives whether the folder could be locked.

    Raises:
        PromptError: another process has been writing there for `PATIENCE_S`.
    """
    with _of_file(folder) if fcntl is None else _of_folder(folder) as alone:
        yield alone


@contextmanager
def _of_folder(folder: Path) -> Iterator[bool]:
    assert fcntl is not None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        taken = _taken(descriptor, folder)
        try:
            yield taken
        finally:
            # A process that was forked meanwhile has the descriptor too: to close it here frees nothing.
            if taken:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, folder: Path) -> bool:
    """Wait for the lock; False where the file system has no locks."""
    assert fcntl is not None
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except (BlockingIOError, PermissionError):
            if time.monotonic() > end:
                raise _busy(folder) from None
            time.sleep(0.005)
        except OSError:
            return False


@contextmanager
def _of_file(folder: Path) -> Iterator[bool]:
    """Lock a file that stands for the folder, among the temporary files."""
    name = hashlib.sha256(os.path.normcase(os.path.realpath(folder)).encode()).hexdigest()
    lock = FileLock(Path(tempfile.gettempdir()) / f"softprompt-{name[:32]}.lock", timeout=PATIENCE_S)
    try:
        lock.acquire(poll_interval=0.005)
    except Timeout:
        raise _busy(folder) from None
    except (OSError, NotImplementedError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _busy(folder: Path) -> PromptError:
    return PromptError(
        str(folder),
        f"another process that has been saving there for {PATIENCE_S:.0f} seconds",
        "one writer at a time",
        "end it, or save to another folder",
    )
