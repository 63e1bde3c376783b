"""Files of JSON lines that runs write: a line that is damaged costs that line alone."""

import json
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.errors import Problem, TrainingError, system_says
from softprompt.untrusted import Unreadable, read_bytes


@dataclass(frozen=True)
class Line:
    """One line of a file.

    Args:
        number: from 1.
        raw: its bytes without the end of the line.
        value: its object; None where the line is damaged.
        cut: whether it is the beginning of a last line, as a killed process leaves it.
    """

    number: int
    raw: bytes
    value: dict[str, Any] | None
    cut: bool = False


_CUTTING = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What other readers take for a line's end, and halves of characters, which UTF-8 cannot hold."""


def json_line(value: Any) -> str:
    """A value on a line of its own, with the characters of its texts as they are."""
    return json_text(value, None)


def json_text(value: Any, indent: int | None = 1) -> str:
    """A JSON file with the characters of its texts as they are, and a line's end."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _CUTTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def read_lines(path: Path, usable: Callable[[dict[str, Any]], bool] = lambda value: True) -> list[Line]:
    """Every line that is not blank, whole or damaged.

    Args:
        path: the file; one that is not there has no lines.
        usable: whether an object is a line of such a file; others count as damaged.

    Raises:
        TrainingError: the file is there and cannot be read.
    """
    try:
        if not path.exists():
            return []
        data = read_bytes(path)
    except OSError as error:
        raise TrainingError(path.as_posix(), system_says(error), "a file that can be read") from None
    except Unreadable as error:
        raise TrainingError(path.as_posix(), str(error), "a file that can be read") from None
    # Only "\n" ends a line: splitlines() would also cut inside texts, at U+2028 for one.
    pieces = [piece.removesuffix(b"\r") for piece in data.split(b"\n")]
    lines = []
    for number, raw in enumerate(pieces, start=1):
        if not raw.strip():
            continue
        value = _object(raw)
        if value is not None and not usable(value):
            value = None
        # Nothing follows the last piece but the end of the file: its line end was never written.
        cut = value is None and number == len(pieces) and raw.startswith(b"{") and b"\0" not in raw
        lines.append(Line(number, raw, value, cut))
    return lines


def objects(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """The objects of the lines that are whole."""
    return [line.value for line in lines if line.value is not None]


def damaged(lines: Iterable[Line], written_whole: bool = False) -> str:
    """The numbers of damaged lines in words, `line 3` or `lines 3, 5-7`; empty where no line is.

    A last line that a killed process cut short does not count.

    Args:
        lines: all of a file.
        written_whole: whether the file was written at once, so that no kill can have cut its last line.
    """
    spans: list[list[int]] = []
    for line in lines:
        if line.value is not None or (line.cut and not written_whole):
            continue
        if spans and spans[-1][1] == line.number - 1:
            spans[-1][1] = line.number
        else:
            spans.append([line.number, line.number])
    numbers = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
    if not numbers:
        return ""
    return f"{'line' if numbers.isdigit() else 'lines'} {numbers}"


def warn_of_damage(path: Path, lines: Sequence[Line], do: str) -> None:
    """One warning that names the damaged lines, if there are any.

    Args:
        path: their file.
        lines: all of it.
        do: what is done about them.
    """
    which = damaged(lines)
    if which:
        expected = "a JSON object on every line, as the run wrote it"
        warnings.warn(Problem(path.as_posix(), f"damage in {which}", expected, do), stacklevel=3)


def ends_line(path: Path) -> bool:
    """Whether text that is appended to the file begins a line; True where there is no file yet."""
    try:
        with open(path, "rb") as file:
            if file.seek(0, 2) == 0:
                return True
            file.seek(-1, 2)
            return file.read(1) == b"\n"
    except FileNotFoundError:
        return True


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
