"""Conversations: a list of turns, each with a role and a text."""

from typing import Any

from softprompt.data.parsing import field, words
from softprompt.data.records import Conversation, Record
from softprompt.errors import DataError, kind_of
from softprompt.untrusted import Unreadable, parse_json

_ROLES = {"system": "system", "user": "user", "assistant": "assistant", "human": "user", "gpt": "assistant"}
"""Roles as records have them, by their names in files (ShareGPT's are `human` and `gpt`)."""


def conversations(value: Any, name: str, where: str) -> list[Record]:
    """One record for each turn of the assistant, with what was said before it.

    The source is the user's turn in front of it. A list that ends with a user's turn and has no turn of the
    assistant gives one record without targets.

    Args:
        value: a list of objects with `role` and `content` (`from` and `value` in ShareGPT's form), or the
            JSON text of one, as a cell of a CSV file holds it.
        name: of the row.
        where: the row, for errors.

    Raises:
        DataError: another form, an unknown role, turns that do not alternate, a system turn that is not the
            first, no turn of the user.
    """
    turns = turns_of(value, where)
    first = int(turns[0][0] == "system")
    answered = [n for n, (role, _) in enumerate(turns) if role == "assistant"]
    if not answered:
        return [_record(name, turns[:first], turns[first][1], ())]
    return [
        _record(f"{name}/{k}" if len(answered) > 1 else name, turns[: n - 1], turns[n - 1][1], (turns[n][1],))
        for k, n in enumerate(answered, start=1)
    ]


def last_question(value: Any, name: str, where: str) -> Record:
    """The user's last turn, with what was said before it, to be answered.

    A turn of the assistant behind it is an answer that is there already; it is left out.

    Args:
        value: as `conversations` takes it.
        name: of the record.
        where: the chat, for errors.

    Raises:
        DataError: as `conversations`.
    """
    turns = turns_of(value, where)
    if turns[-1][0] == "assistant":
        turns.pop()
    return _record(name, turns[:-1], turns[-1][1], ())


def turns_of(value: Any, where: str) -> list[tuple[str, str]]:
    """The turns of a chat, each (role, text), checked to alternate.

    Raises:
        DataError: as `conversations`.
    """
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except Unreadable as error:
            raise DataError(where, f"{error} in the messages", "a list of turns") from None
    if not isinstance(value, (list, tuple)) or not value:
        got = "an empty list" if value in ([], ()) else kind_of(value)
        raise DataError(where, f"{got} as messages", "a list of objects with 'role' and 'content'")
    turns = [_turn(item, f"{where}, turn {n}") for n, item in enumerate(value, start=1)]
    spoken = [turn for turn in turns if turn[0] != "system"]
    for n, (role, _) in enumerate(turns):
        if role == "system" and n:
            raise DataError(f"{where}, turn {n + 1}", "a system turn behind others", "one as the first alone")
    for n, (role, _) in enumerate(spoken):
        wanted = ("user", "assistant")[n % 2]
        if role != wanted:
            at = f"{where}, turn {n + 1 + len(turns) - len(spoken)}"
            do = "join turns of one role, and begin with the user's"
            raise DataError(at, f"a turn of the {role}", f"one of the {wanted}", do)
    if not spoken:
        raise DataError(where, "no turn of the user", "at least one")
    return turns


def _record(name: str, earlier: list[tuple[str, str]], source: str, targets: tuple[str, ...]) -> Record:
    return (
        Conversation(name, source, targets, earlier=tuple(earlier))
        if earlier
        else Record(name, source, targets)
    )


def _turn(item: Any, where: str) -> tuple[str, str]:
    if not isinstance(item, dict):
        raise DataError(where, kind_of(item), "an object with 'role' and 'content'")
    names = ("from", "value") if "from" in item and "role" not in item else ("role", "content")
    role = words(field(item, names[0], where), names[0], where)
    if role not in _ROLES:
        raise DataError(where, f"the role {role!r}", "system, user or assistant", "leave other turns out")
    return _ROLES[role], words(field(item, names[1], where), names[1], where)
