"""Rows of a file as questions to a prompt: which column is what, and what is wrong with a row."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.answers.inputs import Asked, Words, asked_of, takes
from softprompt.data import FORMATS, Row, Table
from softprompt.errors import ConfigError, DataError, SoftpromptError, listed, nearest
from softprompt.tasks import TASKS

NO_TEXT = "no text"
"""The problem of a row without anything to answer."""

_USUAL: Mapping[str, tuple[str, ...]] = {
    "source": ("source", "text", "input"),
    "text": ("text", "sentence", "premise"),
    "second": ("second",),
    "words": ("words", "tokens", "text"),
    "question": ("question",),
    "context": ("context",),
    "choices": ("choices",),
    "image": ("image", "file", "path"),
}
"""Names of a part's column where the settings of the prompt's own data name none that the file has."""

_OPTIONAL = {"source": ("image", "messages"), "text": ("second", "choices")}
_NUMBERED_CHOICE = re.compile(r"choice ?_?\d+")
_PLACE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Questions:
    """The rows of a file, and which column is what.

    Args:
        name: of the file, for messages.
        columns: of the file, in order.
        rows: in order, blank and unreadable ones in their places.
        parts: for each part of a question, its column; several where they are joined or numbered.
        folder: from which files of pictures are seen.
        notes: what was assumed, in sentences.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    parts: Mapping[str, str | tuple[str, ...]]
    folder: Path
    notes: tuple[str, ...] = ()

    def value_of(self, row: Row) -> dict[str, Any]:
        """What a row asks, by part."""
        value = {part: self._cell(row, part, column) for part, column in self.parts.items()}
        if isinstance(image := value.get("image"), str) and image:
            value["image"] = str(self.folder / image)
        return value

    def _cell(self, row: Row, part: str, column: str | tuple[str, ...]) -> Any:
        if isinstance(column, tuple):
            return [row.values[name] for name in column if row.values.get(name) not in (None, "")]
        if "{" not in column:
            return row.values.get(column)
        cells = {name: row.values.get(name) for name in _PLACE.findall(column)}
        return _PLACE.sub(lambda found: _as_text(cells[found[1]]), column)


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
    parts: dict[str, str | tuple[str, ...]] = {}
    notes: list[str] = []
    for i, part in enumerate(names):
        optional = part in _OPTIONAL.get(names[0], ())
        if i < len(columns):
            parts[part] = _named(columns[i], table)
            continue
        found = _found(task, part, table, stored, optional)
        if found is None and part == "choices":
            found = tuple(name for name in table.columns if _NUMBERED_CHOICE.fullmatch(name)) or None
        if found is None and not optional and len(table.columns) == 1 and not columns:
            found = table.columns[0]
            notes.append(f"the column '{found}' is read as {part}")
        if found is None and not optional:
            known = ", ".join(map(repr, table.columns)) or "none"
            got, expected = f"no column for {part} (columns: {known})", f"the column of the {part}"
            raise ConfigError(f"{table.name}", got, expected, "name it with --column")
        if found is not None:
            parts[part] = found
    _check_complete(task, parts, stored, table)
    return Questions(table.name, table.columns, table.rows, parts, Path(table.name).parent, tuple(notes))


def _named(column: str, table: Table) -> str:
    for name in _PLACE.findall(column) or [column]:
        if name not in table.columns:
            expected = f"one of {', '.join(table.columns)}"
            raise ConfigError("--column", f"'{name}'", expected, nearest(name, table.columns))
    return column


def _found(task: Any, part: str, table: Table, stored: Mapping[str, Any], optional: bool) -> str | None:
    """The column of a part by the prompt's own data, or by its name."""
    own = stored.get(part)
    candidates = [] if own is None else [str(own)]
    format = str(stored.get("format"))
    if part in ("text", "second") and format in FORMATS:
        fields = FORMATS[format].fields
        candidates += fields[:1] if part == "text" else fields[1:2]
    # A second text or a picture is only read where the prompt was trained with one.
    if not optional or part == "choices" or not stored:
        candidates += _USUAL.get(part, (part,))
    for name in candidates:
        columns = _PLACE.findall(name) or [name]
        if all(column in table.columns for column in columns):
            return name
    return None


def _check_complete(task: Any, parts: Mapping[str, Any], stored: Mapping[str, Any], table: Table) -> None:
    """Refuse a file without the second texts or the pictures with which a prompt was trained."""
    format = str(stored.get("format"))
    paired = (
        TASKS[task.name].second
        and "text" in parts
        and (stored.get("second") is not None or (format in FORMATS and len(FORMATS[format].fields) > 1))
    )
    if paired and "second" not in parts and "choices" not in parts:
        got = f"no column for the second text (columns: {', '.join(map(repr, table.columns))})"
        raise ConfigError(table.name, got, "two texts, as in training", "name both: --column A --column B")


def asked_in(task: Any, questions: Questions, row: Row, words: Words = "auto") -> tuple[Asked | None, str]:
    """What a row asks; None with the reason, where it asks nothing that can be answered."""
    if row.problem is not None:
        return None, str(row.problem)
    value = questions.value_of(row)
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


def _as_text(value: Any) -> str:
    return "" if value is None else str(value)
