"""What is asked: a text, a pair, words, a question, choices or a picture, as the record that a task reads."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal

from softprompt.data import (
    Choices,
    Conversation,
    LabelledPicture,
    LabelledText,
    Question,
    Record,
    TaggedWords,
    picture_record,
    pictured_text,
)
from softprompt.errors import ConfigError, DataError, kind_of, nearest, shortened
from softprompt.tasks import TASKS
from softprompt.untrusted import at_home, forbidden_character

Words = Literal["auto", "spaces", "characters"]
"""How a text to tag is cut into words: at white space, into single characters, or as the script asks."""

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
"""Letters of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Japanese and Chinese."""

ROLES: Mapping[type, tuple[str, ...]] = {
    LabelledText: ("text", "second"),
    Record: ("source", "image", "messages"),
    TaggedWords: ("words",),
    Choices: ("text", "choices"),
    Question: ("question", "context"),
    LabelledPicture: ("image",),
}
"""What a record of each kind is made of, in the order of a tuple. `second` and `image` of a text may lack,
and `messages` (turns of a chat, the user's last) stand in place of a source."""

_ALIASES = {"text": ("source", "words", "image"), "tokens": ("words",), "second": ("context",)}


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
        value: a record, a text, a tuple of what `ROLES` lists, a mapping by these names, the words of a
            sentence, or the file of a picture.
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
    if LabelledText in row.records and not row.second:
        names.pop("second", None)
    return tuple(names)


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
        parts: dict[str, Any] = {}
        for key, part in value.items():
            name = key if key in names else next((a for a in _ALIASES.get(key, ()) if a in names), None)
            if name is None:
                expected = f"some of {', '.join(names)}"
                raise ConfigError(
                    id, f"the key {key!r} for task '{task.name}'", expected, nearest(key, names)
                )
            parts[name] = part
        return parts
    listed = isinstance(value, (list, tuple)) and not isinstance(value, str)
    if names == ("words",) and listed:
        return {"words": value}
    if not listed:
        return {names[0]: value}
    if len(value) > len(names):
        got = f"{len(value)} parts for task '{task.name}'"
        raise ConfigError(id, got, f"at most {len(names)}: {', '.join(names)}")
    return dict(zip(names, value, strict=False))


def _made(task: Any, kind: type, parts: Mapping[str, Any], id: str, words: Words) -> Asked:
    if kind is LabelledPicture:
        return Asked(_picture(parts.get("image"), id))
    if kind is TaggedWords:
        return _tagged(parts.get("words"), id, words, getattr(task, "words", "auto"))
    if kind is Choices:
        choices = parts.get("choices")
        if isinstance(choices, str) or not isinstance(choices, Sequence):
            raise ConfigError(id, _given(choices, "choices"), "a list of at least 2 choices")
        texts = tuple(text_of(one, id, "choice") for one in choices)
        return Asked(Choices(id, text_of(parts.get("text"), id, "text"), texts))
    if kind is Question:
        question, context = (text_of(parts.get(name), id, name) for name in ("question", "context"))
        return Asked(Question(id, question, context, answered=False))
    if kind is Record and parts.get("messages") is not None:
        return Asked(_conversation(parts["messages"], id))
    if kind is Record:
        source, picture = text_of(parts.get("source"), id, "source"), parts.get("image")
        if picture is None:
            return Asked(Record(id, source, ()))
        file = at_home(text_of(str(picture), id, "image"))
        return Asked(pictured_text(id, source, (), file, str(picture)))
    if kind is LabelledText:
        second = parts.get("second")
        more = None if second is None else text_of(second, id, "second")
        return Asked(LabelledText(id, text_of(parts.get("text"), id, "text"), second=more))
    got = f"a value for task '{task.name}', which reads {kind.__name__} records"
    raise ConfigError(id, got, f"records of the class {kind.__name__}", "make them in Python")


def _conversation(messages: Any, id: str) -> Conversation:
    """The last turn of the user, with the turns before it; a last turn of the assistant is what was right."""
    expected = "a list of turns with role and content, the last of them the user's"
    if not isinstance(messages, (list, tuple)) or not all(isinstance(turn, Mapping) for turn in messages):
        raise DataError(f"record {id}", _given(messages, "messages"), expected)
    turns = [
        (text_of(turn.get("role"), id, "role"), text_of(turn.get("content"), id, "content"))
        for turn in messages
    ]
    if turns and turns[-1][0] == "assistant":
        turns.pop()
    if not turns or turns[-1][0] != "user":
        raise DataError(f"record {id}", "messages without a turn of the user at their end", expected)
    return Conversation(id, turns[-1][1], (), earlier=tuple(turns[:-1]))


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


def word_places(
    text: str, id: str, how: Words = "auto", trained: Words = "auto"
) -> tuple[tuple[int, int], ...]:
    """Begin and end of each word of a text.

    By `auto`, words are what they were in the training data. Where that is not known, a text with white
    space in it is cut there, and a text without, in a script that puts no spaces between words, into its
    characters, as Chinese data sets of tags are.

    Args:
        text: what is to be tagged.
        id: names it in errors.
        how: its words.
        trained: the words of the training data, in scripts without spaces.

    Raises:
        DataError: words of several such characters with spaces between them, which may mean either; or a
            text without spaces for a prompt that was trained on longer words.
    """
    if how == "characters" or (how == "auto" and trained == "characters" and _UNSPACED.search(text)):
        return _characters(text)
    chunks = tuple((found.start(), found.end()) for found in re.finditer(r"\S+", text))
    unspaced = [text[a:b] for a, b in chunks if len(_UNSPACED.findall(text[a:b])) > 1]
    if how == "spaces" or not unspaced:
        return chunks
    if trained == "spaces":
        if len(chunks) > 1:
            return chunks
        raise DataError(
            f"record {id}",
            f"'{shortened(unspaced[0], 60)}' without spaces, for a prompt that was trained on words",
            "spaces between the words, as in the training data",
            "put them in, or say --words characters (in Python words='characters')",
        )
    if len(chunks) == 1:
        return _characters(text)
    raise DataError(
        f"record {id}",
        f"'{unspaced[0]}' between spaces, which is one word or {len(unspaced[0])}",
        "what the words of the training data are",
        "say --words characters (in Python words='characters') for a tag for each character, or spaces",
    )


def _characters(text: str) -> tuple[tuple[int, int], ...]:
    """The characters that are no white space, each with the marks that belong to it."""
    places: list[tuple[int, int]] = []
    for i, character in enumerate(text):
        if character.isspace():
            continue
        if places and places[-1][1] == i and unicodedata.combining(character):
            places[-1] = (places[-1][0], i + 1)
        else:
            places.append((i, i + 1))
    return tuple(places)
