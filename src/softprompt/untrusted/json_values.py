"""JSON within bounds."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from softprompt.untrusted.content import MOST_BYTES, Unreadable, check_characters, decode, read_bytes


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """The one JSON value of a UTF-8 file.

    Args:
        path: the file, or a link to it.
        most: the largest size, in bytes.

    Raises:
        Unreadable: as `read_bytes`, `decode` and `parse_json`.
    """
    return parse_json(decode(read_bytes(path, most)))


def parse_json(text: str, deepest: int | None = None) -> Any:
    """The one JSON value of a text.

    Args:
        text: of one value.
        deepest: the deepest nesting of lists and objects; None is what the interpreter can hold.

    Raises:
        Unreadable: invalid, nested too deeply, a number of thousands of digits, a name twice in one object,
            or half a surrogate pair in a string.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise Unreadable(f"invalid JSON ({error.msg})", error.lineno, error.colno) from None
    except RecursionError:
        raise Unreadable("JSON that is nested too deeply") from None
    except Unreadable:
        raise
    except ValueError:
        raise Unreadable("a number of thousands of digits") from None
    if deepest is not None and _is_deeper(value, deepest):
        raise Unreadable(f"JSON that is nested more than {deepest} deep")
    # Only an escape can bring half a pair into text that was UTF-8.
    if "\\ud" in text or "\\uD" in text:
        for string in _strings(value):
            check_characters(string)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise Unreadable(f"the name {twice[:80]!r} twice in one object")
    return value


def _is_deeper(value: Any, deepest: int) -> bool:
    level = [value]
    for _ in range(deepest + 1):
        level = [
            part
            for outer in level
            if isinstance(outer, (dict, list))
            for part in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, list):
            waiting += part
