"""Parsing a template into its pieces; `softprompt.text.template` describes the language."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from softprompt.errors import ConfigError, nearest

_PART = re.compile(
    r"(?P<doubled>\[\[|\]\]|\{\{|\}\})"
    r"|\[(?P<bracketed>[^\[\]{}]*)\]"
    r"|\{(?P<field>[^\[\]{}]*)\}"
    r"|(?P<lone>[\[\]{}])"
    r"|(?P<text>[^\[\]{}]+)"
)
_SOFT = re.compile(r"soft(?:#(?P<name>[\w.-]+))?(?:\*(?P<count>\d+))?(?::(?P<start>.*))?", re.DOTALL)
_SOFT_FORMS = "[soft], [soft*3], [soft#name], [soft#name*3] or [soft*2: two words]"
_MOST_SLOTS = 10_000
"""The most slots of one template, repetitions included."""

_CLOSING = {"[": "]", "{": "}"}


@dataclass(frozen=True)
class Text:
    """Literal text."""

    text: str


@dataclass(frozen=True)
class Field:
    """A field of the record; one marked `whole` is never cut."""

    name: str
    whole: bool


@dataclass(frozen=True)
class Slots:
    """Adjacent soft slots.

    Args:
        numbers: the index of each slot's vector, from 0; slots that share a vector have the same number.
        start: the words from whose embeddings the vectors are initialised; empty without such words.
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
    """The pieces that are not white space."""
    return [piece for piece in pieces if not isinstance(piece, Text) or piece.text.strip()]


def parse(text: str, where: str) -> tuple[Piece, ...]:
    """The pieces of a template.

    Raises:
        ConfigError: a syntax error, no blank, or several.
    """
    pieces: list[Piece] = []
    slots = _SlotNumbers(where)
    for part in _PART.finditer(text):
        match part.lastgroup:
            case "field":
                pieces.append(_field(part["field"], where))
            case "bracketed":
                pieces.append(_bracketed(part["bracketed"], slots, where))
            case "lone":
                raise _lone_bracket(part["lone"], text[part.start() :], where)
            case "doubled":
                _write(pieces, part["doubled"][0])
            case _:
                _write(pieces, part["text"])
    n_blanks = sum(isinstance(piece, Blank) for piece in pieces)
    if n_blanks != 1:
        got = "a template without [blank]" if n_blanks == 0 else f"[blank] {n_blanks} times"
        raise ConfigError(where, got, "exactly one [blank], the place of the answer")
    return tuple(pieces)


def escaped(text: str) -> str:
    """A text with its brackets doubled, so that a template reads it as literal text."""
    for bracket in "[]{}":
        text = text.replace(bracket, bracket * 2)
    return text


class _SlotNumbers:
    """Gives the slots of one template their numbers, in the order in which they first occur."""

    def __init__(self, where: str):
        self._where = where
        self._n = self._n_places = 0
        self._named: dict[str, Slots] = {}

    def take(self, name: str | None, count: int, start: str) -> Slots:
        self._n_places += count
        if self._n_places > _MOST_SLOTS:
            raise ConfigError(self._where, f"{self._n_places:,} slots", f"at most {_MOST_SLOTS:,}")
        if name is None:
            return self._new(count, start)
        first = self._named.get(name)
        if first is None:
            self._named[name] = self._new(count, start)
            return self._named[name]
        if count != len(first.numbers):
            got, expected = f"[soft#{name}] with {_slots(count)}", _slots(len(first.numbers))
            raise ConfigError(self._where, got, f"{expected}, as where the name first occurs")
        if start and start != first.start:
            got = f"the start words '{start}' where [soft#{name}] occurs again"
            raise ConfigError(self._where, got, "start words only where the name first occurs")
        return Slots(first.numbers)

    def _new(self, count: int, start: str) -> Slots:
        numbers = tuple(range(self._n, self._n + count))
        self._n += count
        return Slots(numbers, start)


def _bracketed(content: str, slots: _SlotNumbers, where: str) -> Piece:
    if content == "blank":
        return Blank()
    if content == "sep":
        return Separator()
    soft = _SOFT.fullmatch(content)
    start = (soft["start"] or "").strip() if soft else ""
    if soft and (start or soft["start"] is None):
        # Python refuses to convert thousands of digits.
        count = int((soft["count"] or "1").lstrip("0")[:9] or 0)
        if count == 0:
            raise ConfigError(where, f"[{content}]", "a count of at least 1", "leave the slot out for none")
        return slots.take(soft["name"], count, start)
    if content.startswith("soft"):
        raise ConfigError(where, f"[{content}]", _SOFT_FORMS)
    # Names of the blank and of slots in papers and tokenizers.
    meant = {"mask": "blank", "p": "blank", "t": "soft"}.get(content.lower())
    hint = f"did you mean '{meant}'?" if meant else nearest(content.strip().lower(), ("blank", "soft", "sep"))
    literal = f"write '[[{content}]]' for this as literal text"
    raise ConfigError(
        where,
        f"[{content}]",
        "[blank], [soft] or [sep]",
        f"{hint} {literal[0].upper()}{literal[1:]}" if hint else literal,
    )


def _field(inside: str, where: str) -> Field:
    name = inside.removesuffix("!")
    if not name.strip():
        raise ConfigError(where, f"'{{{inside}}}'", "the name of a field", "write e.g. {premise}")
    if name != name.strip() or "!" in name:
        raise ConfigError(where, f"'{{{inside}}}'", "a name without white space around it and without '!'")
    return Field(name, whole=inside.endswith("!"))


def _lone_bracket(bracket: str, rest: str, where: str) -> ConfigError:
    excerpt = rest if len(rest) <= 20 else f"{rest[:20]}..."
    literal = f"write '{bracket * 2}' for the bracket itself"
    if bracket in _CLOSING:
        return ConfigError(where, f"'{excerpt}'", f"a '{_CLOSING[bracket]}' that closes it", literal)
    return ConfigError(where, f"'{excerpt}', which closes no bracket", "an opening bracket before", literal)


def _write(pieces: list[Piece], text: str) -> None:
    last = pieces[-1] if pieces else None
    if isinstance(last, Text):
        pieces[-1] = Text(last.text + text)
    else:
        pieces.append(Text(text))


def _slots(count: int) -> str:
    return "1 slot" if count == 1 else f"{count} slots"
