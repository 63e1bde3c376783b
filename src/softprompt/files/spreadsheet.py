"""Texts in CSV files that spreadsheets would take for formulas."""

import re
from typing import TypeVar

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
"""What a spreadsheet may compute, or such a text with apostrophes before it already."""

_Value = TypeVar("_Value")


def as_cell(value: _Value) -> _Value | str:
    """A value for a CSV file: a text that a spreadsheet would compute gets an apostrophe before it.

    Numbers stay numbers, also where they are texts such as `-1.5`.
    """
    if not isinstance(value, str) or not _FORMULA.match(value) or _is_number(value):
        return value
    return f"'{value}"


def from_cell(text: str) -> str:
    """The text that `as_cell` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
