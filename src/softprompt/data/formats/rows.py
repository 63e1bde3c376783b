"""Records from the rows of any table, by the roles of its columns."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from softprompt.config import AUTO
from softprompt.data.formats.chats import conversations
from softprompt.data.formats.hub import hub_table, is_name
from softprompt.data.formats.images import picture_record, pictured_text
from softprompt.data.label_sets import is_list, joined_by
from softprompt.data.labels import label_text
from softprompt.data.numbers import Notation, doubt, notation_of, number_text
from softprompt.data.parsing import each, several, text_lines, words
from softprompt.data.reading_rules import rules
from softprompt.data.records import LabelledPicture, LabelledText, PicturedText, Record
from softprompt.data.roles import assigned, cell, check_column
from softprompt.data.tables import Row, Table, TableSettings, read_table
from softprompt.errors import DataError, counted

_Made = TypeVar("_Made")

Roles = Mapping[str, "str | int | None"]

_MEANT = ("json", "jsonl", "hub")
"""Kinds of tables whose rows are records of their own: rows of one source are not gathered."""


def table_of(path: Path, roles: Roles, settings: TableSettings | None = None) -> Table:
    """A file, or a data set by its name, as a table.

    Args:
        path: the file, or `name:split`.
        roles: the settings of its columns; those by number mean that there is no header.
        settings: how to read it.
    """
    if is_name(path):
        return hub_table(path.as_posix())
    given = settings or TableSettings()
    if path.is_dir():
        do = "give a file, or of a saved data set FOLDER:SPLIT"
        raise DataError(str(path), "a folder", "a file that can be read", do)
    header = given.header
    if header is None and any(type(value) is int for value in roles.values()):
        header = False
    table = read_table(
        path,
        kind=given.kind,
        delimiter=given.delimiter,
        encoding=rules().encoding,
        header=header,
        quoted=given.quoted,
        sheet=given.sheet,
    )
    if not table.columns:
        rows_of(table, lambda row: row)  # names what is wrong with the rows, where there are any
        raise DataError(str(path), "no records", "a table with columns")
    return table


def rows_of(table: Table, make: Callable[[Row], _Made]) -> list[_Made]:
    """What `make` gives for every row, with the mistakes of all rows in one error."""

    def rows() -> Iterator[Row]:
        yield from table.rows
        if table.broken is not None:
            raise DataError.several([table.broken])

    def made(row: Row) -> _Made:
        if row.problem is not None:
            raise DataError.several([row.problem])
        return make(row)

    return each(rows(), made)


def text_of(table: Table, column: str, row: Row, value: Any) -> str:
    """The text of a cell; numbers of a spreadsheet are texts, since it decides what looks like a number."""
    if table.kind == "xlsx" and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if table.kind == "xlsx" and value is None:
        value = ""
    return words(value, column, row.where)


def row_name(table: Table, row: Row) -> str:
    """The name of the record that a row is, by its file and line."""
    return f"{table.name.rpartition('/')[2].rpartition(os.sep)[2]}:{row.line}"


def _checked(table: Table, roles: Roles) -> dict[str, str | None]:
    made = {role: str(value) if type(value) is int else value for role, value in roles.items()}
    for role, value in made.items():
        if isinstance(value, str):
            check_column(table, value, role)
    return made  # type: ignore[return-value]


def labelled_records(table: Table, roles: Roles, notation: Notation | None = None) -> list[LabelledText]:
    """One record per row.

    Args:
        table: the file.
        roles: `text`, `second` and `label`: a column, or None where there is none.
        notation: in which labels that are numbers are written as texts; None takes them as they stand.
    """
    columns = _checked(table, roles)
    label = columns["label"]
    # A data set of the hub marks a hidden test set by labels that stand for none.
    if label is not None and table.kind == "hub" and all(row.values[label] is None for row in table.rows):
        label = None
    texts = [(name, cell(table, name)) for role in ("text", "second") if (name := columns[role]) is not None]
    of_label = None if label is None else cell(table, label)
    if label is not None:
        _note_several([row.values.get(label) for row in table.rows], label, table.name)

    def record(row: Row) -> LabelledText:
        made = [text_of(table, name, row, of(row)) for name, of in texts]
        value = None if of_label is None else of_label(row)
        if isinstance(value, str):
            value = number_text(value, notation, str(label), row.where) if notation else value
            written.append(value)
        value = None if of_label is None else label_text(value, str(label), row.where)
        return LabelledText(row_name(table, row), made[0], value, made[1] if len(made) > 1 else None)

    written: list[str] = []
    records = rows_of(table, record)
    if notation is None and (problem := doubt(written, str(label), table.name)) is not None:
        rules().doubts.append(problem)
    return records


def _note_several(cells: Sequence[Any], label: str, where: str) -> None:
    """A note where the cells of single labels look like several of them."""
    taken = f"{where}: the labels in '{label}'"
    if (separator := joined_by(cells)) is not None:
        do = "task.name=multi_label_classification and data.label_separator"
        rules().notes.append(
            f"{taken} look joined by {separator!r}, and are taken as they "
            f"stand; if a text has several labels, set {do}={separator!r}"
        )
    elif (example := next(filter(is_list, cells), None)) is not None:
        rules().notes.append(
            f"{taken} are lists, e.g. {example}, and are taken as they stand, each list as one label; "
            "if a text has several labels, set task.name=multi_label_classification"
        )


def pair_records(table: Table, roles: Roles) -> list[Record]:
    """One record per row of JSON, where the target may be a list; of other tables one per distinct source.

    Args:
        table: the file.
        roles: `source` and `target`, or `messages`.
    """
    if (messages := roles.get("messages")) is not None:
        of = cell(table, str(messages))
        check_column(table, str(messages), "messages")
        made = rows_of(table, lambda row: conversations(of(row), row_name(table, row), row.where))
        return [record for records in made for record in records]
    rows = rows_of(table, _pair(table, _checked(table, {role: roles[role] for role in ("source", "target")})))
    if table.kind in _MEANT:
        return [Record(f"{Path(table.name).name}:{line}", source, targets) for line, source, targets in rows]
    gathered: dict[str, tuple[int, list[str]]] = {}
    for line, source, targets in rows:
        gathered.setdefault(source, (line, []))[1].extend(targets)
    return [
        Record(f"{Path(table.name).name}:{line}", source, tuple(targets))
        for source, (line, targets) in gathered.items()
    ]


def _pair(
    table: Table, columns: Mapping[str, str | None]
) -> Callable[[Row], tuple[int, str, tuple[str, ...]]]:
    source, target = str(columns["source"]), str(columns["target"])
    of_source, of_target = cell(table, source), cell(table, target)

    def pair(row: Row) -> tuple[int, str, tuple[str, ...]]:
        text, value = text_of(table, source, row, of_source(row)), of_target(row)
        if isinstance(value, list):
            return row.line, text, several(value, target, row.where)
        return row.line, text, (text_of(table, target, row, value),)

    return pair


def pictured_records(table: Table, roles: Roles) -> list[PicturedText]:
    """One record per row: a text, one target or several, and a picture's path from the file's folder."""
    columns = _checked(table, roles)
    pair, image = _pair(table, columns), str(columns["image"])
    of_image, folder = cell(table, image), table.folder or Path()

    def record(row: Row) -> PicturedText:
        _, text, targets = pair(row)
        picture = words(of_image(row), image, row.where)
        try:
            return pictured_text(row_name(table, row), text, targets, folder / picture, picture, check=True)
        except DataError as error:
            raise error.inside(row.where) from None

    return rows_of(table, record)


def picture_records(table: Table, roles: Roles) -> list[LabelledPicture]:
    """One record per row: the path of a picture, from the file's own folder, and its label."""
    columns = _checked(table, roles)
    image, label = str(columns["image"]), columns["label"]
    of_image, folder = cell(table, image), table.folder or Path()

    def record(row: Row) -> LabelledPicture:
        picture = words(of_image(row), image, row.where)
        value = None if label is None else label_text(cell(table, label)(row), label, row.where)
        try:
            return picture_record(folder / picture, picture, value, check=True)
        except DataError as error:
            raise error.inside(row.where) from None

    return rows_of(table, record)


def read_labelled(
    path: Path,
    text: str | int,
    second: str | int | None,
    label: str | int | None,
    decimal: str | None = None,
    thousands: str | None = None,
    table: TableSettings | None = None,
) -> list[LabelledText]:
    """Texts with labels or numbers, from any table; columns that are `auto` are found."""
    roles = {"text": text, "second": second, "label": label}
    if second == AUTO and text != AUTO:
        roles["second"] = None
    made = table_of(path, roles, table)
    return labelled_records(made, assigned(made, "labelled", roles), notation_of(decimal, thousands))


def read_pairs(
    path: Path, source: str | int, target: str | int, messages: str, table: TableSettings | None = None
) -> list[Record]:
    """Sources and targets from any table, chats, or the lines of `NAME.source` and `NAME.target`."""
    if path.suffix == ".source":
        return _lines(path, path.with_suffix(".target"))
    roles = {"source": source, "target": target, "messages": messages}
    if messages != AUTO:
        roles |= {"source": None, "target": None}  # type: ignore[dict-item]
    made = table_of(path, roles, table)
    return pair_records(made, assigned(made, "pairs", roles))


def _lines(sources: Path, targets: Path) -> list[Record]:
    if not targets.exists():
        raise DataError(str(sources), f"no {targets.name} beside it", "a file with the target of every line")
    left, right = (list(text_lines(path)) for path in (sources, targets))
    for lines in (left, right):
        if lines and not lines[-1][2]:
            lines.pop()
    if len(left) != len(right):
        got, expected = counted(len(left), "line"), f"{len(right):,}, as in {targets.name}"
        raise DataError(str(sources), got, expected, "give every source its target on the same line")
    both = zip(left, right, strict=True)

    def record(pair: tuple[tuple[int, str, str], tuple[int, str, str]]) -> Record:
        (line, _, source), (_, _, target) = pair
        name, where = f"{sources.name}:{line}", f"line {line}"
        text = words(source, "source", f"{sources}, {where}")
        return Record(name, text, (words(target, "target", f"{targets}, {where}"),))

    return each(both, record)


def read_pictured(
    path: Path, source: str, target: str, image: str, table: TableSettings | None = None
) -> list[PicturedText]:
    """Texts with pictures, from any table."""
    roles = {"source": source, "target": target, "image": image}
    made = table_of(path, roles, table)
    return pictured_records(made, assigned(made, "pictured", roles))
