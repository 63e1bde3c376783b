"""Numbers as people write them: with a decimal point or comma, and signs between the thousands."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from softprompt.errors import DataError, Problem

_THOUSANDS = (None, ".", ",", " ", "'", "\u00a0", "\u202f", "\u2019")


@dataclass(frozen=True)
class Notation:
    """How numbers are written, in pandas' terms.

    Args:
        decimal: the sign before the fraction.
        thousands: the sign between thousands; None where there is none.
    """

    decimal: str = "."
    thousands: str | None = None

    def plain(self, text: str) -> str | None:
        """The number with a decimal point and nothing between thousands; None for what is no number.

        pandas leaves out the sign of thousands wherever it stands (`1.5` would be 15); here groups have three
        digits (two and three, as in India, behind the first), so that a mistake shows.
        """
        return self._plain(text.strip(), r"\d{2,3}", r"\d{1,3}")

    def reads(self, text: str) -> bool:
        """Whether a text is plainly a number of this notation: thousands begin with no zero."""
        return self._plain(text.strip(), r"\d{3}", r"[1-9]\d{0,2}") is not None

    def _plain(self, text: str, group: str, first: str) -> str | None:
        whole = r"\d+"
        if self.thousands is not None:
            between = re.escape(self.thousands)
            whole = rf"(?:{first}(?:{between}{group})*{between}\d{{3}}|\d+)"
        dot = re.escape(self.decimal)
        match = re.fullmatch(rf"([-+]?)({whole}(?:{dot}\d*)?|{dot}\d+)([eE][-+]?\d+)?", text, re.ASCII)
        if match is None:
            return None
        digits = match[2] if self.thousands is None else match[2].replace(self.thousands, "")
        return match[1] + digits.replace(self.decimal, ".") + (match[3] or "")


PLAIN = Notation()
"""A decimal point, and nothing between thousands."""

_NOTATIONS = tuple(
    Notation(decimal, thousands) for thousands in _THOUSANDS for decimal in (".", ",") if decimal != thousands
)
"""From the plainest on."""


def notation_of(decimal: str | None, thousands: str | None) -> Notation | None:
    """The notation that settings of data name; None where they name none."""
    return Notation(decimal or ".", thousands) if decimal or thousands else None


def number_text(text: str, notation: Notation, column: str, where: str) -> str:
    """A number in the form that every program reads; a blank text is left to be refused as one.

    Raises:
        DataError: a text that is no number of the notation.
    """
    plain = notation.plain(text) if text.strip() else text
    if plain is None:
        raise DataError(where, f"'{text}' in '{column}'", f"a number as by {setting(notation)}")
    return plain


def notations_of(texts: Iterable[str]) -> list[Notation]:
    """The notations in which all texts are numbers, one for each reading of them, the plainest first."""
    values = list(dict.fromkeys(texts))
    left: Sequence[Notation] = _NOTATIONS if values else ()
    for text in values:
        left = [notation for notation in left if notation.reads(text)]
        if not left:
            return []
    readings: dict[tuple[float, ...], Notation] = {}
    for notation in left:
        numbers = tuple(float(notation.plain(text) or "nan") for text in values)
        readings.setdefault(numbers, notation)
    return list(readings.values())


_MONEY = "[$\u00a3\u00a5\u20a0-\u20cf]"
_ABOUT = re.compile(
    rf"(?:(?:{_MONEY}|[A-Z]{{3}}\s)\s*)?([-+\u2212\u2013]?)\s*(?:{_MONEY}\s*)?"
    rf"(\d[\d.,' \u00a0\u202f\u2019]*)(?:{_MONEY}|[%\u2030\u00b0]|[A-Za-z]{{1,4}})?"
)
"""A number with a sign of money, a unit or a per cent sign on one side, or with the minus of a typesetter."""


def number_within(text: str) -> str | None:
    """The number of a text that has a unit beside it or a minus of another kind; None where there is none."""
    match = _ABOUT.fullmatch(text.strip())
    if match is None:
        return None
    return match[1].replace("\u2212", "-").replace("\u2013", "-") + match[2].strip()


def doubt(texts: Iterable[str], column: str, where: str) -> Problem | None:
    """What stands against reading texts as plain numbers; None where nothing does.

    Args:
        texts: of a column whose values are to be numbers.
        column: its name.
        where: the file.
    """
    values = list(dict.fromkeys(text.strip() for text in texts))
    if not any(sign in value for value in values for sign in _THOUSANDS if sign):
        return None
    found = notations_of(values)
    if not found or (found == [PLAIN]):
        return None
    if len(found) == 1:
        example = next(value for value in values if PLAIN.plain(value) is None)
        return Problem(
            where, f"'{example}' in '{column}'", "numbers with a decimal point", f"set {setting(found[0])}"
        )
    example = next(value for value in values if len({notation.plain(value) for notation in found}) > 1)
    whole = next((value for value in values if value.lstrip("-+").isdecimal()), None)
    if whole is None and found[0] == PLAIN:
        return None  # all have three decimals, as a program writes them
    read = " or ".join(dict.fromkeys(str(notation.plain(example)) for notation in found))
    beside = f" beside '{whole}'" if whole is not None else ""
    got = f"'{example}'{beside} in '{column}', which may be {read}"
    do = f"set {', or '.join(dict.fromkeys(map(setting, found)))}"
    return Problem(where, got, "numbers that can be read in one way", do)


def setting(notation: Notation) -> str:
    """The settings of a notation, to be written in a message."""
    parts = []
    if notation.thousands is not None:
        parts.append(f'data.thousands: "{notation.thousands}"')
    if notation.decimal != "." or not parts:
        parts.append(f'data.decimal: "{notation.decimal}"')
    return " and ".join(parts)
