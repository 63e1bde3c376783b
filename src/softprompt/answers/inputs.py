"""What is asked: a text, a pair, words, a question, choices or a picture, as the record that a task reads."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from softprompt.answers.words import Words, word_places
from softprompt.data import (
    Choices,
    LabelledPicture,
    LabelledText,
    MultiLabelledText,
    Question,
    Record,
    TaggedWords,
    last_question,
    picture_record,
    pictured_text,
)
from softprompt.errors import ConfigError, DataError, counted, kind_of, listed
from softprompt.tasks import TASKS
from softprompt.untrusted import at_home, forbidden_character

ROLES: Mapping[type, tuple[str, ...]] = {
    LabelledText: ("text", "second"),
    MultiLabelledText: ("text", "second"),
    Record: ("source", "image", "messages"),
    TaggedWords: ("words",),
    Choices: ("text", "choices"),
    Question: ("question", "context"),
    LabelledPicture: ("image",),
}
"""What a record of each kind is made of, in the order of a tuple. `second` and `image` of a text may lack,
and `messages` (the turns of a chat) stand in place of a source."""

_ALIASES = {"text": ("source", "words", "image"), "tokens": ("words",), "second": ("context",)}

_NUMBERED_CHOICE = re.compile(r"choice ?_?\d+")

_NEAR = 0.8
"""How alike a key and the name of a part are, of 1, that it may be meant."""


@dataclass(frozen=True)
class Asked:
    """One thing that is asked.

    Args:
        record: in the form that the task reads.
        text: whose characters `offsets` count.
        offsets: of the words of `TaggedWords`, begin and end of each.
    """

    record: Any
    text: str = ""
    offsets: tuple[tuple[int, int], ...] = ()


def asked_of(task: Any, value: Any, id: str, words: Words = "auto") -> Asked:
    """What a value asks of a task.

    Args:
        task: its settings.
        value: a record, a text, a tuple of what `ROLES` lists, a mapping by these names (whose further keys
            are left), the words of a sentence, or the file of a picture.
        id: names the record in errors.
        words: how a text is cut into words, for tags.

    Raises:
        ConfigError: a value that the task does not take.
        DataError: a value without anything to read.
    """
    kinds = TASKS[task.name].records
    if is_dataclass(value) and isinstance(value, kinds):
        return _of_record(value)
    parts = _parts(task, value, id)
    # Records with choices of their own and labelled texts are the two forms of a cloze question.
    kind = kinds[0]
    if Choices in kinds and (len(kinds) == 1 or parts.get("choices")):
        kind = Choices
    return _made(task, kind, parts, id, words)


def takes(task: Any) -> tuple[str, ...]:
    """The names of what a task's records are made of."""
    row = TASKS[task.name]
    names = dict.fromkeys(role for kind in row.records for role in ROLES.get(kind, ()))
    if not row.second and (LabelledText in row.records or MultiLabelledText in row.records):
        names.pop("second", None)
    return tuple(names)


def has_first(task: Any, value: Mapping[Any, Any]) -> bool:
    """Whether a mapping has the first part of what is asked, by a name that is always taken for it."""
    first = takes(task)[0]
    return any(key in value for key in (first, *(key for key, names in _ALIASES.items() if first in names)))


def numbered_choices(names: Iterable[Any]) -> tuple[str, ...]:
    """Those of some columns or keys that hold a choice each: `choice1`, `choice2` and so on."""
    return tuple(name for name in names if isinstance(name, str) and _NUMBERED_CHOICE.fullmatch(name))


def _of_record(record: Any) -> Asked:
    if not isinstance(record, TaggedWords):
        return Asked(record)
    return _spaced(record)


def _spaced(record: TaggedWords) -> Asked:
    """Words as if single spaces stood between them."""
    offsets, end = [], -1
    for word in record.words:
        offsets.append((end + 1, end + 1 + len(word)))
        end += 1 + len(word)
    return Asked(record, " ".join(record.words), tuple(offsets))


def _parts(task: Any, value: Any, id: str) -> dict[str, Any]:
    """The value's parts by their names."""
    names = takes(task)
    if isinstance(value, Mapping):
        return _named_parts(task, value, id)
    several = isinstance(value, (list, tuple))
    if several and value and "messages" in names and all(isinstance(one, Mapping) for one in value):
        return {"messages": value}
    if names == ("words",) and several:
        return {"words": value}
    if not several:
        return {names[0]: value}
    if len(value) > len(names):
        got = f"{counted(len(value), 'part')} for task '{task.name}'"
        raise ConfigError(f"record {id}", got, f"at most {len(names)}: {', '.join(names)}")
    return dict(zip(names, value, strict=False))


def _named_parts(task: Any, value: Mapping[Any, Any], id: str) -> dict[str, Any]:
    """The parts of a mapping; what else it has is left, as further columns of a file are.

    Raises:
        ConfigError: no key is the text, or a key is nearly the name of a part that lacks.
    """
    names = takes(task)
    parts = {name: value[name] for name in names if name in value}
    for key, others in _ALIASES.items():
        name = next((other for other in others if other in names), None)
        if key in value and key not in parts and name is not None:
            parts.setdefault(name, value[key])
    if "choices" in names and "choices" not in parts and (numbered := numbered_choices(value)):
        parts["choices"] = [value[key] for key in numbered if value[key] not in (None, "")]
    lacking = [name for name in names if name not in parts]
    left = [str(key) for key in value if key not in names and key not in _ALIASES]
    for key in left:
        if meant := difflib.get_close_matches(key, lacking, n=1, cutoff=_NEAR):
            got = f"the key {key!r} for task '{task.name}'"
            do = f"did you mean {meant[0]!r}? Further keys are left, but none that may be a slip of the pen"
            raise ConfigError(f"record {id}", got, f"some of {', '.join(names)}", do)
    if names[0] not in parts and parts.get("messages") is None:
        keys = listed([repr(str(key)) for key in value]) or "none"
        got = f"a mapping with the keys {keys}, none of which is the {names[0]}"
        more = f", besides {listed(names[1:])} where the task asks for them" if names[1:] else ""
        do = f"write {{{names[0]!r}: ...}}"
        raise ConfigError(f"record {id}", got, f"the key {names[0]!r}{more}; others are left", do)
    return parts


def _made(task: Any, kind: type, parts: Mapping[str, Any], id: str, words: Words) -> Asked:
    if kind is LabelledPicture:
        return Asked(_picture(parts.get("image"), id))
    if kind is TaggedWords:
        return _tagged(parts.get("words"), id, words, getattr(task, "words", "auto"))
    if kind is Choices:
        choices = parts.get("choices")
        if isinstance(choices, str) or not isinstance(choices, Sequence):
            raise ConfigError(f"record {id}", _given(choices, "choices"), "a list of at least 2 choices")
        texts = tuple(text_of(one, id, "choice") for one in choices)
        return Asked(Choices(id, _first(parts, id, "text"), texts))
    if kind is Question:
        question, context = _first(parts, id, "question"), text_of(parts.get("context"), id, "context")
        return Asked(Question(id, question, context, answered=False))
    if kind is Record and parts.get("messages") is not None:
        return Asked(last_question(parts["messages"], id, f"record {id}"))
    if kind is Record:
        picture = parts.get("image")
        if picture is None:
            return Asked(Record(id, _first(parts, id, "source"), ()))
        source = text_of(parts.get("source"), id, "source")
        file = at_home(text_of(str(picture), id, "image"))
        return Asked(pictured_text(id, source, (), file, str(picture)))
    if kind in (LabelledText, MultiLabelledText):
        second = parts.get("second")
        more = None if second is None else text_of(second, id, "second")
        return Asked(kind(id, _first(parts, id, "text"), second=more))
    got = f"a value for task '{task.name}', which reads {kind.__name__} records"
    raise ConfigError(f"record {id}", got, f"records of the class {kind.__name__}", "make them in Python")


def _first(parts: Mapping[str, Any], id: str, name: str) -> str:
    """The text that is asked; one without content is refused, as a blank row of a file is not answered."""
    text = text_of(parts.get(name), id, name)
    if not text.strip():
        raise DataError(f"record {id}", f"an empty text as {name}", "a text with content", "leave it out")
    return text


def text_of(value: Any, id: str, name: str) -> str:
    """A part that is a text; a number is its digits.

    Raises:
        DataError: nothing, another kind of value, or a text that no text may be.
    """
    if isinstance(value, float) and not math.isfinite(value):  # pandas' form of a missing value
        raise DataError(f"record {id}", f"{value} as {name}", "a text", "leave out rows without one")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise DataError(f"record {id}", _given(value, name), "a text")
    if wrong := forbidden_character(value):
        raise DataError(f"record {id}", f"{wrong} in '{name}'", "a text without it")
    return value


def _given(value: Any, name: str) -> str:
    return f"no {name}" if value is None else f"{kind_of(value)} as {name}"


def _picture(value: Any, id: str) -> LabelledPicture:
    if not isinstance(value, (str, Path)):
        raise DataError(f"record {id}", _given(value, "picture"), "the file of a picture")
    name = str(value)
    return picture_record(at_home(name), name)


def _tagged(value: Any, id: str, how: Words, trained: Words) -> Asked:
    if isinstance(value, str):
        text = text_of(value, id, "text")
        offsets = word_places(text, id, how, trained)
        return Asked(TaggedWords(id, tuple(text[a:b] for a, b in offsets)), text, offsets)
    if not isinstance(value, (list, tuple)):
        raise DataError(f"record {id}", _given(value, "words"), "a text, or a list of words")
    return _spaced(TaggedWords(id, tuple(text_of(word, id, "word") for word in value)))
