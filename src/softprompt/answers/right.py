"""What is right, beside what is asked: the records that scores are computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from softprompt.config import AUTO
from softprompt.data import Answer as Stretch
from softprompt.data import (
    Choices,
    LabelledPicture,
    LabelledText,
    MultiLabelledText,
    Question,
    Record,
    TaggedWords,
    check_known,
    conversations,
    flagged,
    label_set,
    label_text,
    notation_of,
    number_text,
)
from softprompt.errors import DataError, Problem, kind_of, listed, shortened

_NAMES: Mapping[type, tuple[str, ...]] = {
    LabelledText: ("label", "labels"),
    MultiLabelledText: ("labels", "label"),
    LabelledPicture: ("label", "labels"),
    Choices: ("label", "answer"),
    Record: ("target", "targets"),
    TaggedWords: ("tags", "labels"),
    Question: ("answers", "answer"),
}
"""By the kind of a record, the keys of a mapping for what is right: the first names it in messages."""

_LABELLED = (LabelledText, MultiLabelledText, LabelledPicture, TaggedWords)


def right_of(value: Mapping[Any, Any], record: Any, stored: Mapping[str, Any]) -> Any:
    """What a mapping says is right: under a column of the prompt's own data, or under the usual name.

    Args:
        value: the mapping.
        record: what it asks.
        stored: settings of `data` of the prompt.

    Raises:
        DataError: it says nothing of it.
    """
    names, several = _names_of(record), isinstance(record, MultiLabelledText)
    own = stored.get("label" if several else names[0])
    if isinstance(own, list) and all(name in value for name in own):
        return [name for name in own if flagged(value[name], name, f"record {record.id}")]
    for name in (own if isinstance(own, str) and own != AUTO else None, *names):
        if name is not None and name in value:
            return value[name]
    keys = listed([repr(str(key)) for key in value])
    do = "add it, or give what is right in targets=, one for each input"
    raise DataError(f"record {record.id}", f"the keys {keys}", f"'{names[0]}', what is right", do)


def with_right(record: Any, right: Any, stored: Mapping[str, Any]) -> Any:
    """A record with what is right, whose texts are read as training read those of its file.

    Args:
        record: what is asked.
        right: a label or a number; a text or several; a tag for each word; a choice, or its place from 0;
            the texts that answer a question (none where its context does not), as texts or as SQuAD has them.
        stored: settings of `data` of the prompt.

    Raises:
        DataError: what cannot be right for it.
    """
    id = record.id
    if isinstance(record, LabelledText) and isinstance(right, str):
        notation = notation_of(stored.get("decimal"), stored.get("thousands"))
        own = stored.get("label")
        column = own if isinstance(own, str) and own != AUTO else "label"
        right = right if notation is None else number_text(right, notation, column, f"record {id}")
    if isinstance(record, (LabelledText, LabelledPicture)):
        return replace(record, label=label_text(_plain(right), "label", f"record {id}"))
    if isinstance(record, MultiLabelledText):
        several = [*right] if isinstance(right, (list, tuple, set, frozenset)) else right
        separator = stored.get("label_separator")
        return replace(record, labels=label_set(several, "labels", f"record {id}", separator))
    if isinstance(record, Record):
        texts = (right,) if isinstance(right, str) else right
        if not _are_texts(texts):
            raise DataError(f"record {id}", f"{kind_of(right)} as target", "a text, or a list of texts")
        return replace(record, targets=tuple(texts))
    if isinstance(record, TaggedWords):
        return replace(record, labels=_tags(record, right))
    if isinstance(record, Choices):
        return replace(record, label=_place(record, _plain(right)))
    if isinstance(record, Question):
        return replace(record, answers=_stretches(record, right), answered=True)
    expected = "a record of softprompt.data, with what is right"
    raise DataError(f"record {id}", f"{kind_of(right)} beside a {type(record).__name__}", expected)


def conversations_of(value: Mapping[Any, Any], id: str) -> list[Any] | None:
    """A record for each turn of the assistant, as training reads a chat; None for what is no chat.

    Raises:
        DataError: turns that are none, or none of the assistant.
    """
    messages = value.get("messages")
    if messages is None:
        return None
    records = conversations(messages, id, f"record {id}")
    if not all(record.targets for record in records):
        raise DataError(f"record {id}", "no turn of the assistant", "one, which is right", "add it")
    return records


def check_right(records: Sequence[Any], labels: Sequence[str]) -> None:
    """Refuse records without what is right, and labels that no answer can be.

    Args:
        records: that are scored.
        labels: what can be answered; empty where that is anything.

    Raises:
        DataError: the first of them.
    """
    for record in records:
        unknown = isinstance(record, tuple(_NAMES)) and not record.targets
        if isinstance(record, MultiLabelledText):
            unknown = record.labels is None  # none of the labels is an answer too
        if unknown and (not isinstance(record, Question) or not record.answered):
            expected = f"{_names_of(record)[0]}, what is right"
            do = "add it, or give what is right in targets=, one for each input"
            raise DataError(f"record {record.id}", "a record without what is right", expected, do)
    labelled = [one for one in records if isinstance(one, _LABELLED)]
    if labels and labelled:
        try:
            check_known(labels, score=labelled)
        except DataError as error:
            problems = [one.at("prompt.score") for one in error.problems if isinstance(one, Problem)]
            raise DataError.several(problems) from None


def _names_of(record: Any) -> tuple[str, ...]:
    return next((names for kind, names in _NAMES.items() if isinstance(record, kind)), ("target",))


def _plain(value: Any) -> Any:
    """A number of numpy or torch as Python's own."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def _are_texts(value: Any) -> bool:
    several = isinstance(value, (list, tuple)) and len(value) > 0
    return several and all(isinstance(one, str) for one in value)


def _tags(record: TaggedWords, right: Any) -> tuple[str, ...]:
    tags = right.split() if isinstance(right, str) else right
    if not _are_texts(tags):
        raise DataError(f"record {record.id}", f"{kind_of(right)} as tags", "a tag for each word")
    if len(tags) != len(record.words):
        do = "give the words as a list, as many as there are tags"
        got = f"{len(tags)} tags for {len(record.words)} words"
        raise DataError(f"record {record.id}", got, "a tag for each word", do)
    return tuple(tags)


def _place(record: Choices, right: Any) -> int:
    expected = f"a choice, or its place from 0 to {len(record.choices) - 1}"
    if isinstance(right, str) and record.choices.count(right) == 1:
        return record.choices.index(right)
    if isinstance(right, int) and not isinstance(right, bool) and 0 <= right < len(record.choices):
        return right
    raise DataError(f"record {record.id}", f"{right!r} as the right choice", expected)


def _stretches(record: Question, right: Any) -> tuple[Stretch, ...]:
    where = f"record {record.id}"
    if isinstance(right, Mapping):
        texts, starts = right.get("text"), right.get("answer_start")
        if not isinstance(texts, (list, tuple)) or not isinstance(starts, (list, tuple)):
            raise DataError(where, "an object as answers", "one with the lists 'text' and 'answer_start'")
        right = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=False)]
    several = [right] if isinstance(right, str) else right
    if right in (None, ""):
        several = []
    if not isinstance(several, (list, tuple)):
        raise DataError(where, f"{kind_of(right)} as answers", "the texts that answer the question")
    return tuple(_stretch(record, one) for one in several)


def _stretch(record: Question, one: Any) -> Stretch:
    where = f"record {record.id}"
    text, start = (one.get("text"), one.get("answer_start")) if isinstance(one, Mapping) else (one, None)
    if not isinstance(text, str) or not text:
        got = "an empty text" if text == "" else kind_of(text)
        raise DataError(where, f"{got} as an answer", "a stretch of the context")
    start = record.context.find(text) if start is None else _plain(start)
    if not isinstance(start, int) or start < 0 or not record.context.startswith(text, start):
        got = f"the answer {shortened(text, 60)!r}, which is not in the context there"
        raise DataError(where, got, "a stretch of the context")
    return Stretch(text, start)
