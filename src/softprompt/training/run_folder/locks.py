"""Locks that the operating system releases whenever their process ends."""

import errno
import json
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, SoftFileLock, Timeout

from softprompt.errors import Problem, TrainingError
from softprompt.files import write_atomically, writing
from softprompt.training.distributed import Processes
from softprompt.training.run_folder.folder import RunFolder
from softprompt.untrusted import read_json

FOLDER = ".locks"
"""Beside the locked folders, so that they can be copied, moved and deleted as they are."""

_UNKNOWN = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of a file system without locks."""


@contextmanager
def acquire(
    settings: Any, resume: bool, processes: Processes
) -> Iterator[tuple[RunFolder, dict[str, Any] | None]]:
    """The folder of a run, to which no other run may write until the context is left.

    Args:
        settings: of the run, with its `folder`.
        resume: whether to continue the run in the folder.
        processes: of the run; the main one checks and locks the folder, and the others wait for it.

    Yields:
        The folder, and the result if the run to resume has already ended (which needs no lock).

    Raises:
        TrainingError: as `RunFolder.check`, or another run works in the folder.
    """
    folder = RunFolder(settings.folder)
    with ExitStack() as held:
        if processes.is_main:
            if resume or folder.result.exists():
                folder.check(settings, resume)
            if not (resume and folder.result.exists()):
                held.enter_context(owned(folder.path))
                # Again, since another run may have written until the lock was taken.
                folder.check(settings, resume)
        processes.wait()
        yield folder, folder.finished() if resume else None


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Be the only run in this folder while the context lasts. Readers need no lock.

    On a file system without locks there is a warning instead.

    Args:
        folder: of the run; it need not exist.

    Raises:
        TrainingError: another run works there (the message names its process, if known), or the lock file
            cannot be made.
    """
    who = _beside(folder, "owner")
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder, "run"))
        except Timeout:
            raise TrainingError(
                str(folder),
                f"a folder in which {_owner(who)} is training",
                "one run in a folder at a time",
                "wait until that run has ended, stop it, or choose another name",
            ) from None
        # In a second file, since Windows lets nobody read a locked one.
        with suppress(OSError):
            write_atomically(who, json.dumps({"process": os.getpid(), "host": platform.node()}))
        try:
            yield
        finally:
            with suppress(OSError):
                who.unlink()


@contextmanager
def locked(folder: Path, kind: str, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, which is a file beside it.

    Args:
        folder: that is locked.
        kind: distinguishes several locks of one folder.
        wait: whether to wait until the lock is free; False raises at once.

    Raises:
        filelock.Timeout: another process holds the lock.
        TrainingError: the lock file cannot be made.
    """
    path = _beside(folder, kind)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock(path, -1 if wait else 0)
    _take(lock, folder)
    try:
        yield
    finally:
        if lock.is_locked:
            lock.release()


def _lock(path: Path, timeout: float) -> FileLock:
    # One lock for all threads, since another thread may release it.
    options: dict[str, Any] = {"timeout": timeout, "thread_local": False}
    try:
        return FileLock(path, fallback_to_soft=False, **options)
    except TypeError:  # filelock before 4 has no such choice
        return FileLock(path, **options)


def _take(lock: FileLock, folder: Path) -> None:
    """Take the lock, or warn on a file system without locks."""
    try:
        lock.acquire()
    except Timeout:
        raise
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _UNKNOWN:
            with writing(Path(lock.lock_file).parent):
                raise
    else:
        if not isinstance(lock, SoftFileLock):
            return
        # A marker file would outlive a killed process, and its run could not be resumed.
        lock.release()
    warnings.warn(
        Problem(
            str(folder),
            "a file system that has no locks",
            "one that has, so that a second process is kept out",
            "start one process at a time for this folder",
        ),
        stacklevel=2,
    )


def _beside(folder: Path, kind: str) -> Path:
    """The file of a folder's lock, the same for every path to the folder."""
    folder = folder.resolve()
    return folder.parent / FOLDER / f"{folder.name}.{kind}"


def _owner(who: Path) -> str:
    try:
        owner = read_json(who, 1 << 16)
        process, host = int(owner["process"]), str(owner["host"])
    except (ValueError, KeyError, TypeError):
        return "another process"
    if (process, host) == (os.getpid(), platform.node()):
        return f"another run of this process ({process})"
    return f"process {process} on {host}"
