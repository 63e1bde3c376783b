"""The forms that readers give: one class per kind of question, plain values only."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

from softprompt.errors import Problem, kind_of


class AnyRecord(Protocol):
    """What every kind of record has: enough to name it, show it, draw it and group its scores."""

    @property
    def id(self) -> str:
        """Names the record in its file, for messages and for pairing outputs."""
        ...

    @property
    def source(self) -> str:
        """The input, as a person reads it."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """The expected output, as a person reads it; empty where it is unknown."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Facts to group scores by."""
        ...


@dataclass(frozen=True)
class Record:
    """One input with every reference it has.

    Args:
        id: names the record in its file, for error messages and for pairing outputs.
        source: the text given to the model, linearised as the paper does.
        targets: the references, at least one.
        tags: facts to group scores by, e.g. `{"category": "Airport", "seen": "seen"}`.
    """

    id: str
    source: str
    targets: tuple[str, ...]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PicturedText(Record):
    """One text with a picture, and every reference it has.

    Args:
        picture: its name, as a person knows it.
        digest: SHA-256 (hex) of its file.
        load: gives the bytes of its file, which are not kept.
    """

    picture: str = ""
    digest: str = ""
    load: Callable[[], bytes] = field(default=bytes, repr=False, compare=False)


@dataclass(frozen=True)
class Conversation(Record):
    """One question of a chat, with what was said before it.

    Args:
        earlier: the turns before `source`, each (role, text): a system turn at most as the first, then turns
            of `user` and `assistant` by turns. `source` is the user's last turn, `targets` the assistant's
            answers to it.
    """

    earlier: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class LabelledText:
    """One text, or a pair, with its label (classification) or its number (regression, as text).

    Args:
        label: None where it is unknown (a text to predict for).
        second: the second text of a pair.
    """

    id: str
    text: str
    label: str | None = None
    second: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The text, or both."""
        return self.text if self.second is None else f"{self.text} | {self.second}"

    @property
    def targets(self) -> tuple[str, ...]:
        """The label."""
        return () if self.label is None else (self.label,)


@dataclass(frozen=True)
class MultiLabelledText:
    """A `LabelledText` with any number of labels, none included; None where they are unknown."""

    id: str
    text: str
    labels: tuple[str, ...] | None = None
    second: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """As that of `LabelledText`."""
        return self.text if self.second is None else f"{self.text} | {self.second}"

    @property
    def targets(self) -> tuple[str, ...]:
        """The labels as one text, which is empty where there is none."""
        return () if self.labels is None else (", ".join(self.labels),)


@dataclass(frozen=True)
class LabelledPicture:
    """One picture with its label.

    Args:
        source: its name, as a person knows it.
        digest: SHA-256 (hex) of its file, by which one picture is known under several names.
        load: gives the bytes of its file, which are not kept.
        label: None where it is unknown.
    """

    id: str
    source: str
    digest: str
    load: Callable[[], bytes] = field(repr=False, compare=False)
    label: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[str, ...]:
        """The label."""
        return () if self.label is None else (self.label,)


@dataclass(frozen=True)
class Choices:
    """One text with several endings, of which one is right.

    Args:
        choices: the endings, at least two.
        label: index of the right one; None where it is unknown.
    """

    id: str
    text: str
    choices: tuple[str, ...]
    label: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The text and its choices."""
        return f"{self.text} | {' / '.join(self.choices)}"

    @property
    def targets(self) -> tuple[str, ...]:
        """The right choice."""
        return () if self.label is None else (self.choices[self.label],)


@dataclass(frozen=True)
class TaggedWords:
    """One sentence in words, with a tag for each.

    Args:
        labels: BIO tags, as many as words; empty where they are unknown.
    """

    id: str
    words: tuple[str, ...]
    labels: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The words."""
        return " ".join(self.words)

    @property
    def targets(self) -> tuple[str, ...]:
        """The tags."""
        return (" ".join(self.labels),) if self.labels else ()


@dataclass(frozen=True)
class Answer:
    """A stretch of a context: its text, and the character where it begins."""

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question about a context that holds the answer, or does not.

    Args:
        answers: every reference; none means that the context does not answer it.
        answered: whether the answers are known at all.
    """

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] = ()
    answered: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The question and its context."""
        return f"{self.question} | {self.context}"

    @property
    def targets(self) -> tuple[str, ...]:
        """The answers; one empty text where there is none."""
        if not self.answered:
            return ()
        return tuple(answer.text for answer in self.answers) or ("",)


LABELLED = (LabelledText, LabelledPicture)
"""The kinds of records with one label each."""


def content_of(record: AnyRecord) -> str:
    """What tells whether two records ask about the same thing: a text, or what a picture's file holds."""
    if isinstance(record, PicturedText):
        return f"{record.digest} {record.source}"
    if isinstance(record, Conversation) and record.earlier:
        return "\n".join(f"{role}: {text}" for role, text in (*record.earlier, ("user", record.source)))
    return record.digest if isinstance(record, LabelledPicture) else record.source


def _texts(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(text, str) for text in value)


_FITS: Mapping[Any, tuple[str, Callable[[Any], bool]]] = {
    str: ("a text", lambda value: isinstance(value, str)),
    str | None: ("a text, or None", lambda value: value is None or isinstance(value, str)),
    int | None: ("an index, or None", lambda value: value is None or type(value) is int),
    bool: ("True or False", lambda value: isinstance(value, bool)),
    tuple[str, ...]: ("a tuple of texts", _texts),
    tuple[str, ...] | None: ("a tuple of texts, or None", lambda value: value is None or _texts(value)),
    tuple[Answer, ...]: (
        "a tuple of answers",
        lambda value: isinstance(value, (tuple, list)) and all(isinstance(one, Answer) for one in value),
    ),
    Mapping[str, str]: (
        "a mapping of texts to texts",
        lambda value: isinstance(value, Mapping) and _texts([*value, *value.values()]),
    ),
}
"""By the type of a field: what it holds, in words, and whether a value is of that type."""


def misfit(record: AnyRecord) -> Problem | None:
    """What is wrong with the first field that holds another type than its record declares."""
    for each in fields(record):  # type: ignore[arg-type]
        expected, fits = _FITS.get(each.type, ("", bool))
        value = getattr(record, each.name)
        if not expected or fits(value):
            continue
        do = f"write ({each.name},)" if isinstance(value, str) and expected.startswith("a tuple") else ""
        got = kind_of(value)
        if isinstance(value, (tuple, list, Mapping)):
            got = f"{value!r:.60}"
        return Problem(f"{type(record).__name__} '{record.id}': {each.name}", got, expected, do)
    return None


def pairs(records: Iterable[AnyRecord]) -> list[Any]:
    """The records in the form that training consumes: those with several references, one per reference."""
    return [single for record in records for single in _singles(record)]


def _singles(record: AnyRecord) -> Sequence[AnyRecord]:
    if not isinstance(record, Record):
        return [record]
    return [
        replace(record, id=f"{record.id}/{i}", targets=(target,)) for i, target in enumerate(record.targets)
    ]
