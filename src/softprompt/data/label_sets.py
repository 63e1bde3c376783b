"""Several labels of one text: lists, cells with several of them joined, and columns of 0 and 1."""

import ast
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from softprompt.data.labels import label_text
from softprompt.errors import DataError, kind_of
from softprompt.untrusted import Unreadable, parse_json

_TRUTHS = {"True": True, "true": True, "False": False, "false": False}

_ITEM = rf"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d*)?|(?:{"|".join(_TRUTHS)})\b)"""
_ITEMS = rf"{_ITEM}(?:(?:\s*,\s*|\s+){_ITEM})*\s*,?"
_LIST = re.compile(
    rf"\[\s*(?:{_ITEMS})?\s*\]|\((?=['\"]|[^()]*,)\s*{_ITEMS}\s*\)|\{{\s*{_ITEMS}\s*\}}|\(\)|set\(\)"
)
"""A list as Python, pandas and JSON write it into a cell, or a tuple or a set; `(1)` is none."""

_SEPARATORS = (";", "|", ",", "；", "、", "，", "/", "+", "\n")
"""What joins labels in the cells of other people's files."""

_LONGEST_PART = 60

_YES = ("1", "true", "yes", "1.0")
_NO = ("0", "false", "no", "0.0", "", "none")
_FLAGS = ("1", "true", "1.0", "0", "false", "0.0")


def label_set(value: object, name: str, where: str, separator: str | None) -> tuple[str, ...]:
    """The labels of a cell, each once; none for an empty one.

    Args:
        value: a list, a list written as a text, or a text with one label or several.
        name: of the column.
        where: names the row in errors.
        separator: between the labels of a text; None where a text is one label.

    Raises:
        DataError: a label that is neither a text nor a number.
    """
    items = _items(value, separator)
    for item in items:
        if isinstance(item, (list, dict)) or item is None:
            raise DataError(where, f"{kind_of(item)} among the labels of '{name}'", "a list of texts")
    return tuple(dict.fromkeys(label_text(item, name, where) for item in items))


def _items(value: object, separator: str | None) -> list[Any]:
    """What stands in a cell, in its order; nothing in an empty one."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    if isinstance(value, str) and is_list(value):
        try:
            return parse_json(value)
        except Unreadable:  # written by Python, whose quotes and truth values are others
            found = re.findall(_ITEM, value)
        return [_TRUTHS[item] if item in _TRUTHS else ast.literal_eval(item) for item in found]
    if isinstance(value, str) and separator is not None:
        return [part for part in _parts(value, separator) if part]
    return value if isinstance(value, list) else [value]


def check_named(cells: Iterable[object], column: str, where: str, separator: str | None = None) -> None:
    """Refuse lists of 0 and 1, a place for each label, and lists without quotes: neither names labels.

    A set has no label twice and no order, so that a list with a repeated item or two orders of the same
    items is none.

    Args:
        cells: of the column of labels.
        column: its name.
        where: the file.
        separator: between the labels of a text; None where texts are single labels.

    Raises:
        DataError: such lists.
    """
    cells = [*cells]
    if separator is not None and (bare := next((cell for cell in cells if _is_bare(cell, separator)), None)):
        do = "leave the brackets out, or write each label in quotes"
        raise DataError(where, f"{bare} in '{column}', a list without quotes", "labels without brackets", do)
    filled = [items for cell in cells if (items := _items(cell, separator))]
    if not filled or len(filled[0]) < 2 or any(len(items) != len(filled[0]) for items in filled):
        return
    if not all(str(item).strip().lower() in _FLAGS for items in filled for item in items):
        return
    rows = [[str(item).strip().lower() in _YES for item in items] for items in filled]
    if all(len(set(row)) == len(row) for row in rows) and all(row == rows[0] for row in rows):
        return
    n, shown = len(rows[0]), ", ".join(map(str, filled[0][:8])) + (", ..." if len(rows[0]) > 8 else "")
    got = f"lists of {n} zeros and ones in '{column}', e.g. [{shown}], which name no labels"
    do = "give each label a column of 0 and 1 with its name, or write each row's labels as a list of names"
    raise DataError(where, got, "the names of the labels", do)


def _is_bare(cell: object, separator: str) -> bool:
    """Whether a text is a list whose labels have no quotes, so that a bracket would stay at two of them."""
    if not isinstance(cell, str) or is_list(cell):
        return False
    first, *others = _parts(cell.strip(), separator)
    return any(
        bool(others)
        and first[:1] == begin
        and end not in first
        and others[-1][-1:] == end
        and begin not in others[-1]
        for begin, end in ("[]", "()", "{}")
    )


def is_list(cell: object) -> bool:
    """Whether a cell is a text that is a list, as Python, pandas and JSON write it."""
    return isinstance(cell, str) and _LIST.fullmatch(cell.strip()) is not None


def list_items(cell: object) -> list[Any]:
    """What stands in a cell that is a list, in its order."""
    return _items(cell, None)


def joined_by(cells: Iterable[object]) -> str | None:
    """What joins several labels in the cells of a column, as far as they show it; None where nothing does.

    Of the labels that a separator would give at least half have to stand in two different cells, alone or
    among others: parts of names (`Lyon, France`) do not come again in this way.

    Args:
        cells: of a column; what is no text is no joined cell.
    """
    texts = {cell for cell in cells if isinstance(cell, str) and not is_list(cell)}
    for separator in _SEPARATORS:
        joined = {text for text in texts if separator in text.strip(f" {separator}")}
        parts = {text: set(_parts(text, separator)) - {""} for text in texts}
        counts = Counter(part for some in parts.values() for part in some)
        of_joined = {part for text in joined for part in parts[text]}
        if not joined or any(len(part) > _LONGEST_PART for part in of_joined):
            continue
        if separator == "," and all(part.isdecimal() for part in of_joined):
            continue  # numbers with a decimal comma
        again = sum(counts[part] > 1 for part in of_joined)
        if again * 2 >= len(of_joined) and again > 1:
            return separator
    return None


def check_not_joined(cells: Iterable[object], column: str, where: str) -> None:
    """Refuse cells that look like several labels each, where no separator is given.

    Raises:
        DataError: such cells.
    """
    cells = [*cells]
    if (separator := joined_by(cells)) is None:
        return
    example = next(cell for cell in cells if isinstance(cell, str) and separator in cell)
    got = f"labels that look joined by {separator!r} in '{column}', e.g. {example!r}"
    do = f"set data.label_separator={separator!r}, or a character that no label has if each is a single label"
    raise DataError(where, got, "lists, single labels, or a separator", do)


def flagged(value: object, name: str, where: str) -> bool:
    """Whether a text has the label that a column of 0 and 1 is for.

    Raises:
        DataError: another value.
    """
    if not isinstance(value, (bool, int, float, str)) and value is not None:
        raise DataError(where, f"{kind_of(value)} in '{name}'", "1 or 0, in a column for one label")
    text = str(value).strip().lower()
    if text in _YES or text in _NO:
        return text in _YES
    raise DataError(where, f"{value!r} in '{name}'", "1 or 0, in a column for one label")


def _parts(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator)]
