"""Two files that change as one: written beside, made valid by one rename, seen whole by every reader.

A folder may hold anything else; only names that are said here are ever written, renamed or removed.
"""

import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from softprompt.errors import PromptError

_PATIENCE = 60.0
"""Seconds to wait for another writer of the same folder."""

_OURS = re.compile(r"\.prompt-[0-9a-f]{64}\.safetensors|\.prompt\.(json|safetensors)\.[0-9a-f]{16}\.writing")


def beside(digest: str) -> str:
    """Where tensors wait beside older ones, until the card that names them is there."""
    return f".prompt-{digest}.safetensors"


def commit(folder: Path, tensors: str, payload: bytes, digest: str, card: str, body: bytes) -> None:
    """Put both files into a folder that exists; the rename of the card is the moment that counts.

    Before it, the folder holds the older prompt; from then on the new one, whose tensors lie under the name
    `beside` for as long as their own name still holds the older ones. Links are followed.

    Args:
        folder: the folder.
        tensors: name of the file of tensors.
        payload: its new content.
        digest: SHA-256 of it, which the card says.
        card: name of the card.
        body: its new content.

    Raises:
        OSError: no room, or no right to write; the older prompt stays.
        PromptError: another process has been writing there for a minute.
    """
    staged = folder / beside(digest)
    with _alone(folder) as alone:
        known, done = staged.exists(), False  # a killed writer's, which the card may name already
        try:
            _put(staged, payload)
            _put(folder / card, body)
            done = True
        finally:
            if not done and not known:
                staged.unlink(missing_ok=True)
        # The prompt is there; should this fail, readers find its tensors where they are.
        with suppress(OSError):
            _settle(staged, folder / tensors, payload)
            if alone:
                _sweep(folder, keep=staged.name)
            _sync(folder)


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, where a link of that name points."""
    real = Path(os.path.realpath(path))
    kind = ".json" if path.suffix == ".json" else ".safetensors"
    temporary = real.with_name(f".prompt{kind}.{secrets.token_hex(8)}.writing")
    try:
        _write(temporary, content)
        _replace(temporary, real)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(real.parent)


def _settle(staged: Path, path: Path, content: bytes) -> None:
    """Give tensors that count already their own name."""
    if path.is_symlink():
        _put(path, content)
        staged.unlink()
    else:
        _replace(staged, path)


def _sweep(folder: Path, keep: str) -> None:
    """Remove what a writer left that was killed here."""
    for path in folder.iterdir():
        if path.name != keep and _OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _replace(source: Path, target: Path) -> None:
    for wait in (0.01, 0.05, 0.2, 0.5):
        try:
            return os.replace(source, target)
        except PermissionError:
            # Windows does not replace a file while somebody reads it.
            if os.name != "nt":
                raise
            time.sleep(wait)
    return os.replace(source, target)


def _sync(folder: Path) -> None:
    """Make a rename in this folder durable, where the system can."""
    if os.name == "nt":  # opens no folders
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Keep other writers of this folder out, without a file in it; gives whether that could be done."""
    lock = _lock(folder)
    if lock is None:
        yield False
        return
    try:
        yield True
    finally:
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """A descriptor that nobody else has locked; None where the file system knows no locks."""
    try:
        import fcntl
    except ImportError:
        return _lock_elsewhere(folder)
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    return _patiently(descriptor, folder, lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))


def _lock_elsewhere(folder: Path) -> int | None:
    """Windows locks no folders, so a file of temporary ones stands for this one."""
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
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            lock()
            return descriptor
        except (BlockingIOError, PermissionError):
            if time.monotonic() > end:
                os.close(descriptor)
                raise PromptError(
                    str(folder),
                    f"another process that has been saving there for {_PATIENCE:.0f} seconds",
                    "one writer at a time",
                    "end it, or save to another folder",
                ) from None
            time.sleep(0.005)
        except OSError:  # no locks here
            os.close(descriptor)
            return None
