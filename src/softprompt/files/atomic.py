"""Writing files so that a full disk or a killed process never leaves half of one."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    """Write a new file and wait until it is on the disk."""
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, content: str | bytes, temporary: Path | None = None) -> None:
    """Write a file whole or not at all.

    Args:
        path: the file; a link of this name is replaced, not followed.
        content: texts are written in UTF-8.
        temporary: where the content is written first, in the same folder; None is a hidden name beside the
            file.

    Raises:
        OSError: no room, or no right to write; an older file stays as it was.
    """
    temporary = path.with_name(f".{path.name}.writing") if temporary is None else temporary
    try:
        # A link or a pipe of this name, in a folder from elsewhere, would be written through or waited for.
        temporary.unlink(missing_ok=True)
        write_synced(temporary, content.encode("utf-8") if isinstance(content, str) else content)
        replace(temporary, path)
    except BaseException:
        # What went wrong before is the error to raise.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace(source: Path, target: Path) -> None:
    """Rename a file over another of the same folder.

    Raises:
        OSError: the system refuses.
    """
    for wait_s in (0.01, 0.05, 0.2, 0.5):
        try:
            return os.replace(source, target)
        except PermissionError:
            # Windows does not replace a file while another process reads it.
            if os.name != "nt":
                raise
            time.sleep(wait_s)
    return os.replace(source, target)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder durable, where the system can."""
    # Windows opens no folders; its renames are journalled.
    if os.name == "nt":
        return
    # The rename has been done; some network file systems cannot sync a folder.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
