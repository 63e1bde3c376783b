"""Which column of a file is what a prompt is asked: the prompt's own, a usual one, or one that is named."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from softprompt.answers.published import PLAIN, rewrites
from softprompt.config import AUTO
from softprompt.data import FORMATS, USUAL_NAMES, Table, assigned
from softprompt.errors import ConfigError, DataError, listed, nearest

_KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "text": ("labelled", ("text", "second", "label")),
    "source": ("pairs", ("source", "target", "messages")),
    "words": ("tagged", ("words", "tags")),
    "question": ("questions", ("question", "context", "answers")),
    "image": ("pictures", ("image", "label")),
}
"""By the first part of a question: the kind of table, and its roles."""

_RIGHT = ("label", "target", "tags", "answers")
"""Roles of what is right, which a file of questions may lack."""

PLACE = re.compile(r"\{([^{}]+)\}")
"""A column in a text of several."""


def named_column(column: str, table: Table) -> str:
    for name in [column] if column in table.columns else PLACE.findall(column) or [column]:
        if name not in table.columns:
            expected = f"one of {', '.join(table.columns)}"
            raise ConfigError("--column", f"'{name}'", expected, nearest(name, table.columns))
    return column


def holds_chats(column: str, table: Table, stored: Mapping[str, Any]) -> bool:
    """Whether a column holds lists of turns, or had them in the prompt's own data."""
    filled = (row.values[column] for row in table.rows if row.values.get(column))
    first = next(filled, None)
    return stored.get("messages") == column or (isinstance(first, list) and isinstance(first[0], Mapping))


def found_columns(
    table: Table, names: Sequence[str], stored: Mapping[str, Any], notes: list[str]
) -> dict[str, str | tuple[str, ...]]:
    """The columns of the parts: those of the prompt's own data, else those with usual names.

    Raises:
        ConfigError: a part whose column cannot be told.
    """
    kind, roles = _KINDS[names[0]]
    if rewrites(str(stored.get("format"))):
        # Its reader has taken the file where it could: what is left are tables of other people.
        named = {name: name for name in names if name in table.columns}
        if names[0] in named:
            return dict(named)
        got = f"the columns {', '.join(map(repr, table.columns))} for a prompt of data '{stored['format']}'"
        expected = f"a file of that format, or the column '{names[0]}' with the text as the model reads it"
        raise ConfigError(table.name, got, expected, "name it with --column")
    pictured = names[0] == "source" and str(stored.get("format")).startswith("pictured")
    roles = (*roles, "image") if pictured else roles
    given = {role: _own(role, table, stored) for role in roles}
    if kind == "pairs" and not pictured and (messages := _messages(table, given)):
        if given["messages"] == AUTO and messages != "messages":
            notes.append(f"{table.name}: messages from column {messages!r}")
        return {"messages": messages}
    if given.get("source") == AUTO and (template := _alpaca(table)) is not None:
        notes.append(f"{table.name}: source from {template!r}")
        return {"source": template}
    wanted = [role for role in roles if role in names]
    # A file of questions mostly lacks what is right; where it has it, that column is none of the question's.
    without = {role: None if role in _RIGHT else value for role, value in given.items()}
    tries = [("pictured" if pictured else kind, roles_of) for roles_of in (without, given)]
    if kind == "tagged":  # a text to tag is cut into words here
        tries.append(("labelled", {"text": AUTO, "second": None, "label": None}))
    for kind, roles_of in tries:
        with suppress(DataError):
            found = assigned(table, kind, roles_of)
            taken = {role: column for role in wanted if (column := found.get(role)) is not None}
            taken = taken or {names[0]: str(found["text"])}
            if any(roles_of.get(role) == AUTO and role != column for role, column in taken.items()):
                said = listed([f"{role} from column {column!r}" for role, column in taken.items()])
                notes.append(f"{table.name}: {said}{_in_place_of(stored, taken)}")
            return dict(taken)
    if len(table.columns) == 1:
        instead = _in_place_of(stored, names[:1])
        notes.append(f"{table.name}: {names[0]} from column {table.columns[0]!r}{instead}")
        return {names[0]: table.columns[0]}
    known = ", ".join(map(repr, table.columns)) or "none"
    got = f"the columns {known}, none of which is plainly the {listed(wanted[:2])}"
    got += _in_place_of(stored, wanted[:2])
    raise ConfigError(table.name, got, "a column for each", "name it with --column")


def _in_place_of(stored: Mapping[str, Any], roles: Iterable[str]) -> str:
    """Which columns of the prompt's own data a file lacks, for a note about those that are taken."""
    own = [repr(stored[role]) for role in roles if stored.get(role) not in (None, AUTO)]
    return f" (the prompt was trained on {listed(own)})" if own else ""


def _messages(table: Table, given: Mapping[str, Any]) -> str | None:
    """The column of chats: the prompt's own, or where the file has no source of its own a usual one."""
    own = given.get("messages")
    if own != AUTO:
        return own
    known = {column.casefold(): column for column in table.columns}
    usual = [known[name] for name in USUAL_NAMES["messages"] if name in known]
    return usual[0] if usual and given["source"] == AUTO else None


def _alpaca(table: Table) -> str | None:
    """The text of an instruction and its input, as training reads them where an output stands beside."""
    known = {column.casefold(): column for column in table.columns}
    if not all(name in known for name in ("instruction", "input")):
        return None
    return f"{{{known['instruction']}}}\n{{{known['input']}}}"


def _own(role: str, table: Table, stored: Mapping[str, Any]) -> Any:
    """The setting of a role of the prompt's own data, where the table has what it names.

    Raises:
        ConfigError: a text of several columns that the table does not have all of.
    """
    own = stored.get(role, AUTO)
    if own is None and role in ("second", *_RIGHT):
        return None
    format = str(stored.get("format"))
    if own in (None, AUTO) and role in ("text", "second") and format in PLAIN:
        fields = dict(zip(("text", "second"), FORMATS[format].fields, strict=False))
        own = fields.get(role, AUTO)
    columns = PLACE.findall(str(own)) if str(own) not in table.columns else []
    lacking = [column for column in columns if column not in table.columns]
    if lacking and role not in _RIGHT:
        has = ", ".join(map(repr, table.columns)) or "none"
        got = (
            f"no column {listed(list(map(repr, lacking)))}, of which the prompt's {role} is made ({own!r}); "
        )
        expected = f"the columns {listed(list(map(repr, columns)))}"
        do = "add what lacks, if need be without content, or name another text with --column"
        raise ConfigError(table.name, f"{got}the file has {has}", expected, do)
    return str(own) if (columns and not lacking) or str(own) in table.columns else AUTO


def is_paired(stored: Mapping[str, Any]) -> bool:
    """Whether a prompt was trained on pairs of texts, by its settings of `data`."""
    format = str(stored.get("format"))
    fields = FORMATS[format].fields if format in PLAIN else ()
    return stored.get("second") not in (None, AUTO) or len(fields) > 1


def check_complete(
    task: Any, names: Sequence[str], parts: Mapping[str, Any], stored: Mapping[str, Any], table: Table
) -> None:
    """Refuse a file without the second texts or contexts with which a prompt was trained."""
    paired = "second" in names and is_paired(stored)
    lacking = [role for role in ("context",) if role in names and role not in parts]
    if paired and "second" not in parts and "choices" not in parts:
        lacking = ["second text"]
    if lacking:
        got = f"no column for the {lacking[0]} (columns: {', '.join(map(repr, table.columns))})"
        raise ConfigError(table.name, got, "two texts, as in training", "name both: --column A --column B")
