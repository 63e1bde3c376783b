"""Rows of a file as questions to a prompt: which column is what, and what is wrong with a row."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.answers.inputs import Asked, Words, asked_of, takes
from softprompt.answers.published import PLAIN, rewrites
from softprompt.config import AUTO
from softprompt.data import FORMATS, Row, Table, assigned, cell
from softprompt.errors import ConfigError, DataError, SoftpromptError, listed, nearest

NO_TEXT = "no text"
"""The problem of a row without anything to answer."""

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

_NUMBERED_CHOICE = re.compile(r"choice ?_?\d+")
_PLACE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Questions:
    """The rows of a file, and which column is what.

    Args:
        table: the file, with blank and unreadable rows in their places.
        parts: for each part of a question, its column; several where they are joined or numbered.
        folder: from which files of pictures are seen.
        notes: what was assumed, in sentences.
    """

    table: Table
    parts: Mapping[str, str | tuple[str, ...]]
    folder: Path
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file, for messages."""
        return self.table.name

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns in order."""
        return self.table.columns

    @property
    def rows(self) -> list[Row]:
        """Its rows in order."""
        return self.table.rows

    def value_of(self, row: Row) -> dict[str, Any]:
        """What a row asks, by part; DataError where a column is missing."""
        value: dict[str, Any] = {}
        for part, column in self.parts.items():
            if isinstance(column, tuple):
                value[part] = [row.values[name] for name in column if row.values.get(name) not in (None, "")]
            else:
                value[part] = cell(self.table, column)(row)
        if isinstance(image := value.get("image"), str) and image:
            value["image"] = str(self.folder / image)
        return value


def questions_of(
    task: Any, table: Table, stored: Mapping[str, Any], columns: Sequence[str] = ()
) -> Questions:
    """The questions of a table.

    Args:
        task: settings of the task.
        table: with its blank rows.
        stored: the settings of `data` by which the prompt was trained.
        columns: the columns of the parts in the order of `takes`, as the user names them; else they are
            those of the prompt's own data, or have the parts' own names, or there is one column alone.

    Raises:
        ConfigError: a column that the file does not have, or one that has to be named.
        DataError: a file that could not be read to its end.
    """
    if table.broken is not None:
        raise DataError.several([table.broken])
    if table.repeated:
        got = f"several columns named {listed(sorted(map(repr, table.repeated)))}"
        raise DataError(table.name, got, "a name for each column", "rename them")
    names = takes(task)
    if len(columns) > len(names):
        expected = f"at most {len(names)}, for {', '.join(names)}"
        raise ConfigError("--column", f"{len(columns)} columns", expected)
    parts: dict[str, str | tuple[str, ...]]
    notes: list[str] = []
    if columns:
        parts = {part: _named(column, table) for part, column in zip(names, columns, strict=False)}
    else:
        parts = _found(table, names, stored, notes)
    if "choices" in names and "choices" not in parts:
        numbered = tuple(name for name in table.columns if _NUMBERED_CHOICE.fullmatch(name))
        if "choices" in table.columns or numbered:
            parts["choices"] = numbered or "choices"
    _check_complete(task, names, parts, stored, table)
    return Questions(table, parts, Path(table.name).parent, tuple(notes))


def _named(column: str, table: Table) -> str:
    for name in [column] if column in table.columns else _PLACE.findall(column) or [column]:
        if name not in table.columns:
            expected = f"one of {', '.join(table.columns)}"
            raise ConfigError("--column", f"'{name}'", expected, nearest(name, table.columns))
    return column


def _found(
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
                notes.append(f"{table.name}: {said}")
            return dict(taken)
    if len(table.columns) == 1:
        notes.append(f"{table.name}: {names[0]} from column {table.columns[0]!r}")
        return {names[0]: table.columns[0]}
    known = ", ".join(map(repr, table.columns)) or "none"
    got = f"the columns {known}, none of which is plainly the {listed(wanted[:2])}"
    raise ConfigError(table.name, got, "a column for each", "name it with --column")


def _own(role: str, table: Table, stored: Mapping[str, Any]) -> Any:
    """The setting of a role of the prompt's own data, where the table has what it names."""
    own = stored.get(role, AUTO)
    if own is None and role in ("second", *_RIGHT):
        return None
    format = str(stored.get("format"))
    if own in (None, AUTO) and role in ("text", "second") and format in PLAIN:
        fields = dict(zip(("text", "second"), FORMATS[format].fields, strict=False))
        own = fields.get(role, AUTO)
    columns = _PLACE.findall(str(own)) or [str(own)]
    return str(own) if all(column in table.columns for column in columns) else AUTO


def _check_complete(
    task: Any, names: Sequence[str], parts: Mapping[str, Any], stored: Mapping[str, Any], table: Table
) -> None:
    """Refuse a file without the second texts or contexts with which a prompt was trained."""
    format, second = str(stored.get("format")), stored.get("second")
    fields = FORMATS[format].fields if format in PLAIN else ()
    paired = "second" in names and (second not in (None, AUTO) or len(fields) > 1)
    lacking = [role for role in ("context",) if role in names and role not in parts]
    if paired and "second" not in parts and "choices" not in parts:
        lacking = ["second text"]
    if lacking:
        got = f"no column for the {lacking[0]} (columns: {', '.join(map(repr, table.columns))})"
        raise ConfigError(table.name, got, "two texts, as in training", "name both: --column A --column B")


def asked_in(task: Any, questions: Questions, row: Row, words: Words = "auto") -> tuple[Asked | None, str]:
    """What a row asks; None with the reason, where it asks nothing that can be answered."""
    if row.problem is not None:
        return None, str(row.problem)
    try:
        value = {} if row.blank else questions.value_of(row)
    except SoftpromptError as error:
        return None, str(error)
    first = next(iter(value.values()), None)
    if row.blank or first is None or (isinstance(first, (str, list)) and not _has_content(first)):
        return None, NO_TEXT
    if "second" in value and value["second"] is None:
        return None, "no second text"
    try:
        return asked_of(task, value, row.where, words), ""
    except SoftpromptError as error:
        return None, str(error)


def _has_content(value: str | list[Any]) -> bool:
    return bool(value.strip()) if isinstance(value, str) else bool(value)
