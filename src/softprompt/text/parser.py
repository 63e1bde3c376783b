"""From a template as written to its pieces; `softprompt.text.template` describes the language."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from softprompt.errors import ConfigError, nearest

_PART = re.compile(
    r"(?P<doubled>\[\[|\]\]|\{\{|\}\})"
    r"|\[(?P<thing>[^\[\]{}]*)\]"
    r"|\{(?P<field>[^\[\]{}]*)\}"
    r"|(?P<lone>[\[\]{}])"
    r"|(?P<text>[^\[\]{}]+)"
)
_SOFT = re.compile(r"soft(?:#(?P<name>[\w.-]+))?(?:\*(?P<count>\d+))?(?::\s*(?P<start>\S.*?)\s*)?", re.DOTALL)
_SOFT_FORMS = "[soft], [soft*3], [soft#name], [soft#name*3] or [soft*2: two words]"
_CLOSING = {"[": "]", "{": "}"}


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


def parse(text: str, where: str) -> tuple[Piece, ...]:
    """The pieces of a template.

    Raises:
        ConfigError: it does not follow the language, or has no blank or several.
    """
    pieces: list[Piece] = []
    slots = _SlotNumbers(where)
    for part in _PART.finditer(text):
        match part.lastgroup:
            case "field":
                pieces.append(_field(part["field"], where))
            case "thing":
                pieces.append(_thing(part["thing"], slots, where))
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
    """A text as words of a template: its brackets doubled."""
    for bracket in "[]{}":
        text = text.replace(bracket, bracket * 2)
    return text


class _SlotNumbers:
    """Numbers for the slots of one template, in the order of their first standing."""

    def __init__(self, where: str):
        self._where = where
        self._n = 0
        self._named: dict[str, Slots] = {}

    def take(self, name: str | None, count: int, start: str) -> Slots:
        if name is None:
            return self._new(count, start)
        there = self._named.get(name)
        if there is None:
            self._named[name] = self._new(count, start)
            return self._named[name]
        if count != len(there.numbers):
            got, first = f"[soft#{name}] with {_slots(count)}", _slots(len(there.numbers))
            raise ConfigError(self._where, got, f"{first}, as in the place where the name stands first")
        if start and start != there.start:
            got = f"the start words '{start}' for [soft#{name}], which stands a second time"
            raise ConfigError(
                self._where, got, "start words in the place where the name stands first, and nowhere else"
            )
        return Slots(there.numbers)

    def _new(self, count: int, start: str) -> Slots:
        numbers = tuple(range(self._n, self._n + count))
        self._n += count
        return Slots(numbers, start)


def _thing(thing: str, slots: _SlotNumbers, where: str) -> Piece:
    if thing == "blank":
        return Blank()
    if thing == "sep":
        return Separator()
    soft = _SOFT.fullmatch(thing)
    if soft:
        count = int(soft["count"] or 1)
        if count == 0:
            raise ConfigError(where, f"[{thing}]", "a count of at least 1", "leave the slot out for none")
        return slots.take(soft["name"], count, soft["start"] or "")
    if thing.startswith("soft"):
        raise ConfigError(where, f"[{thing}]", _SOFT_FORMS)
    # The papers' and the tokenizers' own names for the two.
    meant = {"mask": "blank", "p": "blank", "t": "soft"}.get(thing.lower())
    hint = f"did you mean '{meant}'?" if meant else nearest(thing.strip().lower(), ("blank", "soft", "sep"))
    literal = f"write '[[{thing}]]' for these very words"
    raise ConfigError(
        where,
        f"[{thing}]",
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
    return ConfigError(where, f"'{excerpt}', which closes nothing", "a bracket opened before", literal)


def _write(pieces: list[Piece], text: str) -> None:
    last = pieces[-1] if pieces else None
    if isinstance(last, Text):
        pieces[-1] = Text(last.text + text)
    else:
        pieces.append(Text(text))


def _slots(count: int) -> str:
    return "1 slot" if count == 1 else f"{count} slots"
