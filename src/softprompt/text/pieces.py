"""What a template is made of."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """Words that stand in the template as they are."""

    text: str


@dataclass(frozen=True)
class Field:
    """A field of the record; a whole one is never cut."""

    name: str
    whole: bool


@dataclass(frozen=True)
class Slots:
    """Soft slots side by side.

    Args:
        numbers: which vector each one is, counted from 0; a shared vector has one number everywhere.
        start: the words that these vectors begin from; empty where the template names none.
    """

    numbers: tuple[int, ...]
    start: str = ""


@dataclass(frozen=True)
class Blank:
    """The place of the answer."""


@dataclass(frozen=True)
class Separator:
    """The tokenizer's own separator token."""


Piece = Text | Field | Slots | Blank | Separator


def visible(pieces: Iterable[Piece]) -> list[Piece]:
    """The pieces that are more than white space."""
    return [piece for piece in pieces if not isinstance(piece, Text) or piece.text.strip()]
