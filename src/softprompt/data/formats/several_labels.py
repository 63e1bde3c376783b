"""Texts with several labels each, from any table."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from softprompt.config import AUTO
from softprompt.data.formats.rows import row_name, rows_of, table_of, text_of
from softprompt.data.label_sets import check_named, check_not_joined, flagged, label_set
from softprompt.data.records import MultiLabelledText
from softprompt.data.roles import assigned, cell
from softprompt.data.tables import Row, Table, TableSettings


def read_multi_labelled(
    path: Path,
    text: str | int,
    second: str | int | None,
    label: str | int | list[str | int] | None,
    label_separator: str | None = None,
    table: TableSettings | None = None,
) -> list[MultiLabelledText]:
    """Texts with any number of labels each, from any table; columns that are `auto` are found.

    Args:
        path: the file, or `name:split`.
        text: column of the text.
        second: column of the second text of a pair; None where there is one.
        label: column of the labels, a list or a text in each row; or columns of 0 and 1, one for each
            label; None leaves records unlabelled.
        label_separator: between the labels of a text; None where texts are single labels.
        table: how to read the file.
    """
    several = label if isinstance(label, list) else []
    flags = {f"label {i}": column for i, column in enumerate(several)}
    roles: dict[str, Any] = {"text": text, "second": second, "label": None if several else label, **flags}
    if second == AUTO and text != AUTO:
        roles["second"] = None
    made = table_of(path, roles, table)
    found = assigned(made, "labelled", roles)
    texts = [(name, cell(made, name)) for role in ("text", "second") if (name := found[role]) is not None]
    labels_of = _labels_of(made, found["label"], [str(found[flag]) for flag in flags], label_separator)

    def record(row: Row) -> MultiLabelledText:
        some = [text_of(made, name, row, of(row)) for name, of in texts]
        return MultiLabelledText(
            row_name(made, row), some[0], labels_of(row), some[1] if len(some) > 1 else None
        )

    return rows_of(made, record)


def _labels_of(
    table: Table, column: str | None, flags: Sequence[str], separator: str | None
) -> Callable[[Row], tuple[str, ...] | None]:
    """What gives the labels of a row; nothing for a test set whose labels are hidden."""
    if flags:
        return lambda row: tuple(name for name in flags if flagged(cell(table, name)(row), name, row.where))
    if column is None:
        return lambda row: None
    of = cell(table, column)
    values = [row.values.get(column) for row in table.rows if row.problem is None]
    if values and all(value is None or value == "" for value in values):
        return lambda row: None
    if separator is None:
        check_not_joined(values, column, table.name)
    check_named(values, column, table.name, separator)
    return lambda row: label_set(of(row), column, row.where, separator)
