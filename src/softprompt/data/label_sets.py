"""Several labels of one text: lists, cells with several of them joined, and columns of 0 and 1."""

import ast
import re
from collections import Counter
from collections.abc import Iterable

from softprompt.data.labels import label_text
from softprompt.errors import DataError, kind_of

_ITEM = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?)"""
_LIST = re.compile(rf"\[\s*(?:{_ITEM}(?:(?:\s*,\s*|\s+){_ITEM})*\s*,?)?\s*\]")
"""A list as Python, pandas and JSON write it into a cell."""

_SEPARATORS = (";", "|", ",", "；", "、", "，", "/", "+", "\n")
"""What joins labels in the cells of other people's files."""

_LONGEST_PART = 60

_YES = ("1", "true", "yes", "1.0")
_NO = ("0", "false", "no", "0.0", "", "none")


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
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, str) and _LIST.fullmatch(value.strip()):
        value = [ast.literal_eval(item) for item in re.findall(_ITEM, value)]
    elif isinstance(value, str) and separator is not None:
        value = [part for part in _parts(value, separator) if part]
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, (list, dict)) or item is None:
            raise DataError(where, f"{kind_of(item)} among the labels of '{name}'", "a list of texts")
    return tuple(dict.fromkeys(label_text(item, name, where) for item in items))


def joined_by(cells: Iterable[object]) -> str | None:
    """What joins several labels in the cells of a column, as far as they show it; None where nothing does.

    Of the labels that a separator would give at least half have to stand in two different cells, alone or
    among others: parts of names (`Lyon, France`) do not come again in this way.

    Args:
        cells: of a column; what is no text is no joined cell.
    """
    texts = {cell for cell in cells if isinstance(cell, str) and not _LIST.fullmatch(cell.strip())}
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
