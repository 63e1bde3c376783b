"""Rows of a file as questions to a prompt: which column is what, and what is wrong with a row."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.answers.columns import (
    PLACE,
    check_complete,
    found_columns,
    holds_chats,
    is_paired,
    named_column,
)
from softprompt.answers.inputs import Asked, asked_of, has_first, numbered_choices, takes
from softprompt.answers.words import Words
from softprompt.config import AUTO
from softprompt.data import (
    SOURCE_AND_TARGET,
    TWO_TEXTS,
    USUAL_NAMES,
    LabelledText,
    MultiLabelledText,
    Row,
    Table,
    cell,
)
from softprompt.errors import ConfigError, DataError, SoftpromptError, listed

NO_TEXT = "no text"
"""The problem of a row without anything to answer."""

UNREAD = "unread"
"""The column of what a row holds that no column of the file has a place for."""

_USUAL = {
    name
    for names in (*USUAL_NAMES.values(), *TWO_TEXTS, *(pair[:1] for pair in SOURCE_AND_TARGET))
    for name in names
}
"""Names of columns that say what they hold."""


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

    @property
    def quotes_are_texts(self) -> bool:
        """Whether the file is a TSV with quotes that are part of its texts."""
        if self.table.quoted or self.table.delimiter != "\t":
            return False
        cells = (cell for row in self.rows for cell in (row.unread or row.values.values()))
        return any('"' in cell for cell in (*self.columns, *cells))

    def held(self, row: Row) -> dict[str, Any]:
        """What a row holds, by column, also where it cannot be read: its cells as far as the columns go.

        What has no column is under `UNREAD`: the further cells, or the text of what is no JSON object.
        """
        if row.unread is None:
            return dict(row.values)
        if self.table.kind in ("json", "jsonl"):
            text = row.unread if isinstance(row.unread, str) else json.dumps(row.unread, ensure_ascii=False)
            return {UNREAD: text}
        cells = list(row.unread)
        more = {UNREAD: cells[len(self.columns) :]} if len(cells) > len(self.columns) else {}
        return dict(zip(self.columns, cells, strict=False)) | more

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
        parts = {part: named_column(column, table) for part, column in zip(names, columns, strict=False)}
        if "messages" in names and len(columns) == 1 and holds_chats(columns[0], table, stored):
            parts = {"messages": columns[0]}
    else:
        parts = found_columns(table, names, stored, notes)
    if "choices" in names and "choices" not in parts:
        numbered = numbered_choices(table.columns)
        if "choices" in table.columns or numbered:
            parts["choices"] = numbered or "choices"
    check_complete(task, names, parts, stored, table)
    return Questions(table, parts, Path(table.name).parent, tuple(notes))


def parts_of(task: Any, value: Mapping[Any, Any], id: str, stored: Mapping[str, Any]) -> Mapping[Any, Any]:
    """A mapping by the names of a question's parts, where its keys are the columns of a file.

    A row of a file and the same row as a mapping ask the same: its keys may be the columns of the data that
    the prompt was trained on, or the usual names of such columns. A mapping by the parts' own names is
    given back as it is, and so is one that says nothing.

    Args:
        task: its settings.
        value: the mapping.
        id: of the input.
        stored: settings of `data` of the prompt.
    """
    first = takes(task)[0]
    own = stored.get(first)
    named = isinstance(own, str) and own not in (AUTO, first)
    mine = named and all(name in value for name in PLACE.findall(str(own)) or [own])
    if not mine and (has_first(task, value) or value.get("messages") is not None):
        return value
    columns = tuple(key for key in value if isinstance(key, str))
    row = Row(1, f"record {id}", {key: value[key] for key in columns})
    partly = named and any(name in value for name in PLACE.findall(str(own)))
    with nullcontext() if partly else suppress(SoftpromptError):
        questions = questions_of(task, Table(f"record {id}", "json", columns, [row]), stored)
        # A file's only column is taken whatever its name, and that is printed; here nobody would see it.
        column = str(questions.parts.get(first))
        if mine or all(name.casefold() in _USUAL for name in PLACE.findall(column) or [column]):
            return questions.value_of(row)
    return value


def check_pairs(asked: Sequence[Asked], stored: Mapping[str, Any]) -> None:
    """Refuse a single text for a prompt that was trained on pairs, as a file without second texts is.

    Raises:
        DataError: the first of them.
    """
    if not is_paired(stored):
        return
    for one in asked:
        if isinstance(one.record, (LabelledText, MultiLabelledText)) and one.record.second is None:
            do = "give the second text too (--second, in Python a pair)"
            raise DataError(f"record {one.record.id}", "one text", "two, on which the prompt was trained", do)


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
