"""Locks that the operating system gives up when their process ends, however it ends."""

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
from softprompt.files import writing
from softprompt.training.distributed import Processes
from softprompt.training.run_folder.folder import RunFolder
from softprompt.untrusted import read_json

FOLDER = ".locks"
"""Beside the folders that are locked, so that these can be copied, moved and deleted as they are."""

_UNKNOWN = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What a file system answers that has no locks."""


@contextmanager
def acquire(
    settings: Any, resume: bool, processes: Processes
) -> Iterator[tuple[RunFolder, dict[str, Any] | None]]:
    """The folder of a run, which nobody else may write to until the context is left.

    Args:
        settings: of the run, with its `folder`.
        resume: whether to go on with what is there.
        processes: the main one looks, and owns the folder; the others wait for it.

    Yields:
        The folder, and the result of a run to resume that had already ended (which needs no owner).

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
                # Once more: until now another run may have been at work.
                folder.check(settings, resume)
        processes.wait()
        yield folder, folder.finished() if resume else None


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Be the only run that works in this folder, as long as the context lasts.

    Those that only read are not kept out. Where the file system has no locks, a warning says so.

    Args:
        folder: of the run; it need not exist.

    Raises:
        TrainingError: another run works there (the message says whose, where that is known), or the lock
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
        # A file of its own: on Windows nobody can read a file that is locked.
        with suppress(OSError):
            who.write_text(json.dumps({"process": os.getpid(), "host": platform.node()}), encoding="utf-8")
        try:
            yield
        finally:
            with suppress(OSError):
                who.unlink()


@contextmanager
def locked(folder: Path, kind: str, wait: bool = False) -> Iterator[None]:
    """Hold a lock that stands for a folder.

    Args:
        folder: what is locked; the lock is a file beside it.
        kind: tells several locks of one folder apart.
        wait: until whoever has it gives it up; False raises at once.

    Raises:
        filelock.Timeout: somebody else has it.
        TrainingError: its file cannot be made.
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
    # One lock for all threads: who gives it up need not be who took it.
    options: dict[str, Any] = {"timeout": timeout, "thread_local": False}
    try:
        return FileLock(path, fallback_to_soft=False, **options)
    except TypeError:  # filelock before 4 has no such choice
        return FileLock(path, **options)


def _take(lock: FileLock, folder: Path) -> None:
    """Take the lock; warn where there are none, and go on without."""
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
        # A file that marks what is taken would outlive a killed process, and keep its run from being resumed.
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
    """The same file however the folder is named."""
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
