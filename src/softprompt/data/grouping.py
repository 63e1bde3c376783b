"""Which records stay on one side of a split: those of one text, and the turns of one conversation."""

from collections.abc import Hashable, Sequence
from typing import Any

from softprompt.data.records import AnyRecord, Conversation, content_of


def has_conversations(records: Sequence[AnyRecord]) -> bool:
    """Whether some records are further turns of a conversation, so that others are turns of it too."""
    return any(isinstance(record, Conversation) for record in records)


def together(records: Sequence[AnyRecord], order: Sequence[int], whole: bool) -> list[list[int]]:
    """The places of records that stay on one side: those of one text, and the turns of one conversation.

    Turns are of one conversation where it begins with the same question and the same answer to it.

    Args:
        records: all of them.
        order: their places, in which groups and the places in them are given.
        whole: whether turns of one conversation belong together.
    """
    if not (whole and has_conversations(records)):
        by_text: dict[str, list[int]] = {}
        for place in order:
            by_text.setdefault(content_of(records[place]), []).append(place)
        return list(by_text.values())
    joined: dict[Hashable, Hashable] = {}

    def root(key: Hashable) -> Hashable:
        while (above := joined.setdefault(key, key)) != key:
            joined[key] = joined[above]
            key = joined[key]
        return key

    keys: list[list[Hashable]] = [[content_of(record), *_beginnings(record)] for record in records]
    for first, *others in keys:
        for other in others:
            joined[root(other)] = root(first)
    groups: dict[Hashable, list[int]] = {}
    for place in order:
        groups.setdefault(root(keys[place][0]), []).append(place)
    return list(groups.values())


def _beginnings(record: Any) -> list[Hashable]:
    """How a record's conversation begins, up to its first answer: one for each of the record's targets."""
    earlier = record.earlier if isinstance(record, Conversation) else ()
    made: list[Hashable] = []
    for target in record.targets or ("",):
        turns = (*earlier, ("user", record.source), ("assistant", target))
        end = next(n for n, (role, _) in enumerate(turns) if role == "assistant")
        made.append(turns[: end + 1])
    return made
