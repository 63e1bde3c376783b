"""The bytes and the text of a data file, compressed or not, in the encoding that it is in."""

import codecs
import zlib
from pathlib import Path
from typing import IO, Any

from softprompt.errors import DataError, nearest
from softprompt.untrusted import MOST_BYTES, Unreadable, read_bytes

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte-order marks; UTF-32's begins as UTF-16's does, and is asked for first."""

_NAMES = ("utf-8", "utf-16", "gb18030", "gbk", "big5", "cp1252", "latin-1", "shift_jis", "euc-kr", "cp1251")


def file_bytes(path: Path) -> bytes:
    """A file's bytes, unpacked where it is gzipped.

    Raises:
        DataError: the file cannot be read, is too large, or its compression is damaged.
    """
    try:
        data = read_bytes(path)
    except Unreadable as error:
        raise DataError(str(path), str(error), "a file that can be read") from None
    return unpacked(data, str(path))


def stream_bytes(stream: IO[Any], where: str) -> bytes:
    """Everything that a stream gives, as bytes, unpacked where it is gzipped.

    Raises:
        DataError: it cannot be read, or gives too much.
    """
    try:
        data = getattr(stream, "buffer", stream).read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise DataError(where, f"a stream that cannot be read ({error})", "rows") from None
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if len(data) > MOST_BYTES:
        raise DataError(where, f"more than {MOST_BYTES:,} bytes", "fewer", "give it in parts")
    return unpacked(data, where)


def unpacked(data: bytes, where: str) -> bytes:
    """The bytes that a gzip file holds; other bytes as they are."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    made = bytearray()
    try:
        while data:  # a gzip file may hold several parts, one behind the other
            part = zlib.decompressobj(wbits=31)
            made += part.decompress(data, MOST_BYTES + 1 - len(made))
            if len(made) > MOST_BYTES:
                raise DataError(where, f"more than {MOST_BYTES:,} bytes once unpacked", "a smaller file")
            if not part.eof:
                raise DataError(
                    where, "a gzip file that breaks off", "a whole file", "fetch or pack it again"
                )
            data = part.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise DataError(where, f"a damaged gzip file ({error})", "a whole file", "pack it again") from None
    return bytes(made)


def file_text(data: bytes, where: str, encoding: str | None = None) -> str:
    """The text of a file's bytes, without a byte-order mark and with its line ends as they are.

    Args:
        data: the bytes.
        where: the file, for errors.
        encoding: what it is in; None is UTF-8, or what a byte-order mark says.

    Raises:
        DataError: an encoding that does not exist, bytes of another one, the character NUL, no text at all.
    """
    named = checked_encoding(encoding)
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    # A mark says how the file begins; gb18030 and the like have none.
    used = marked or named or "utf-8"
    try:
        text = data.decode(used)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        got = f"byte 0x{data[error.start]:02x}, which is not {'UTF-8' if used == 'utf-8' else used}"
        raise DataError(f"{where}, line {line}", got, "UTF-8 text", _other_encoding(data, used)) from None
    except UnicodeError as error:
        raise DataError(where, f"text that is not {used} ({error})", "text in its encoding") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        do = "save the file as UTF-8, or say what it is in: data.encoding: utf-16"
        raise DataError(f"{where}, line {line}", "the character NUL", "UTF-8 text", do)
    if not text.strip():
        raise DataError(where, "an empty file", "at least one record")
    return text


def checked_encoding(encoding: str | None) -> str | None:
    """The encoding, if Python knows it as one of texts.

    Raises:
        DataError: it does not.
    """
    if encoding is None:
        return None
    try:
        "".encode(encoding)
        codecs.lookup(encoding)
    except (LookupError, ValueError, TypeError):
        do = nearest(encoding, _NAMES) or "choose e.g. utf-8, gb18030, big5, shift_jis or cp1252"
        raise DataError("data.encoding", repr(encoding), "the name of an encoding", do) from None
    return encoding


def _other_encoding(data: bytes, used: str) -> str:
    """What to do about a file that is in another encoding than the one used."""
    fits = []
    for name, who in (("gb18030", "Chinese"), ("shift_jis", "Japanese"), ("cp1252", "Western Windows")):
        try:
            data.decode(name)
        except UnicodeDecodeError:
            continue
        fits.append(f"data.encoding: {name} ({who})")
    some = " or ".join(fits[:2] if name_is_eastern(data) else fits[-1:]) or "data.encoding"
    return f"save the file as UTF-8, or say what it is in, e.g. {some}"


def name_is_eastern(data: bytes) -> bool:
    """Whether most bytes beyond ASCII stand next to another one, as in scripts of two bytes a character."""
    high = [place for place, byte in enumerate(data[:100_000]) if byte > 127]
    paired = sum(1 for first, second in zip(high, high[1:], strict=False) if second == first + 1)
    return paired * 2 >= len(high) > 1


def text_lines_of(text: str) -> list[str]:
    """The lines of a text without their ends: of Unix or Windows, or of old Macs where no other end is used.

    Only these end a line: U+2028 and its like are characters of texts.
    """
    if "\n" not in text:
        return text.split("\r")
    return [line.rstrip("\r") for line in text.split("\n")]
