"""The bytes and texts of regular files, within bounds."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from softprompt.errors import counted, system_says

MOST_BYTES = 2 << 30
"""The largest data file, in bytes. Larger ones are read through `format: datasets`, which maps them."""


class Unreadable(ValueError):
    """What came is not what the format allows; the message says what came, in a few words.

    Args:
        message: what came.
        line: where, from 1; None where no line can be named.
        column: where in the line, from 1.
    """

    def __init__(self, message: str, line: int | None = None, column: int | None = None):
        super().__init__(message)
        self.line = line
        self.column = column

    def inside(self, path: object) -> str:
        """The file with the line, where one is known."""
        return str(path) if self.line is None else f"{path}, line {self.line}"


def decode(content: bytes, encoding: str = "utf-8-sig") -> str:
    """The text of a file's bytes, without a byte-order mark.

    Raises:
        Unreadable: a byte that is not UTF-8, with its line.
    """
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"byte 0x{content[error.start]:02x}, which is not UTF-8", line) from None


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """A regular file's bytes.

    Args:
        path: the file, or a link to it.
        most: the largest size, in bytes.

    Raises:
        Unreadable: as `open_regular`, or the file is larger.
    """
    with open_regular(path) as (file, size):
        if size > most:
            raise Unreadable(f"{counted(size, 'byte')}, more than {most:,}")
        # A file may grow, or have no size of its own, as those of /proc.
        content = file.read(size + 1)
        if len(content) > size:
            content += file.read(most + 1 - len(content))
    if len(content) > most:
        raise Unreadable(f"more than {most:,} bytes")
    return content


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file, open for reading, and its size in bytes.

    Raises:
        Unreadable: there is none, it is a folder, a pipe or a device (which may never end), the system
            refuses to read it, or memory ends while it is read.
    """
    try:
        facts = Path(path).stat()
        if not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(facts.st_mode):
            raise Unreadable("a pipe or a device")
        with open(path, "rb", opener=_open_at_once) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise Unreadable("a pipe or a device")
            yield file, facts.st_size
    except OSError as error:
        raise Unreadable(system_says(error)) from None
    except MemoryError:
        raise Unreadable("a file that cannot be read (for which there is no memory)") from None
    except ValueError as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"a file that cannot be read ({error})") from None


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for a pipe's writer: a pipe may have taken the file's place just now."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def at_home(path: str) -> Path:
    """The path with `~` as the home folder, or as it is written where there is no such home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def check_characters(string: str, line: int | None = None) -> None:
    """Refuse a text with a character that no text may hold.

    Args:
        string: the text.
        line: of the text in its file, from 1.

    Raises:
        Unreadable: NUL, or half a surrogate pair.
    """
    if wrong := forbidden_character(string):
        raise Unreadable(f"{wrong} in a text", line)


def forbidden_character(string: str) -> str:
    """The kind of character in a text that no text may hold; empty where there is none."""
    if "\0" in string:
        return "the character NUL"
    try:
        string.encode("utf-8")
    except UnicodeEncodeError:
        return "half a surrogate pair"
    return ""
