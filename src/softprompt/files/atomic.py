"""Writing files so that a full disk or a killed process never leaves half of one."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from softprompt.errors import TrainingError, system_says

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def writing(folder: Path, kept: str = "what was written before is kept") -> Iterator[None]:
    """Turn an operating-system error while writing into a TrainingError that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise TrainingError(
                str(folder), "a full disk", "room for the run's files", f"free some space and resume ({kept})"
            ) from error
        raise TrainingError(
            str(folder),
            system_says(error),
            "a folder that can be written",
            f"check its permissions ({kept})",
        ) from error


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; texts in UTF-8."""
    temporary = path.with_name(f".{path.name}.writing")
    try:
        write_synced(temporary, content.encode("utf-8") if isinstance(content, str) else content)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder durable, where the system can."""
    # Windows opens no folders; its renames are journalled.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
