"""The older names of tables: one kind of file each, whose columns have fixed names unless they are given.

Texts are taken as they stand, white space included.
"""

from collections.abc import Iterable
from pathlib import Path

from softprompt.data.formats.rows import (
    labelled_records,
    pair_records,
    pictured_records,
    table_of,
)
from softprompt.data.labels import label_text
from softprompt.data.records import LabelledText, PicturedText, Record
from softprompt.data.tables import TableSettings, kind_of_file

__all__ = ["label_text"]


def read_jsonl(path: Path, source: str, target: str) -> list[Record]:
    """One record per line; the target is a text, or a list of texts (several references)."""
    roles = {"source": source, "target": target}
    return pair_records(table_of(path, roles, _json(path)), roles)


def read_csv(
    path: Path, source: str | int, target: str | int, table: TableSettings | None = None
) -> list[Record]:
    """One record per distinct source, in order of first appearance.

    A CSV cell holds one text, so several references for a source are several rows, wherever they
    stand. The record is named after the first of them.
    """
    roles = {"source": source, "target": target}
    return pair_records(table_of(path, roles, _as(table, "csv")), roles)


def grouped(path: Path, pairs: Iterable[tuple[int, str, str]]) -> list[Record]:
    """One record per distinct source with all its targets, from the line, source and target of every row."""
    targets: dict[str, list[str]] = {}
    lines: dict[str, int] = {}
    for line, source, target in pairs:
        lines.setdefault(source, line)
        targets.setdefault(source, []).append(target)
    return [Record(f"{path.name}:{lines[source]}", source, tuple(targets[source])) for source in targets]


def read_pictured_jsonl(path: Path, source: str, target: str, image: str) -> list[PicturedText]:
    """One record per line: a text, one target or a list of them, and the path of a picture, seen from the
    file's own folder.
    """
    roles = {"source": source, "target": target, "image": image}
    return pictured_records(table_of(path, roles, _json(path)), roles)


def read_pictured_csv(
    path: Path, source: str, target: str, image: str, table: TableSettings | None = None
) -> list[PicturedText]:
    """One record per row: a text, a target, and the path of a picture, seen from the file's own folder."""
    roles = {"source": source, "target": target, "image": image}
    return pictured_records(table_of(path, roles, _as(table, "csv")), roles)


def read_labelled_jsonl(path: Path, text: str, second: str | None, label: str | None) -> list[LabelledText]:
    """One record per line.

    Args:
        path: the file.
        text: field of the text.
        second: field of the second text; None where there is one.
        label: field of the label (a text, a number, true or false); None leaves records unlabelled.
    """
    roles = {"text": text, "second": second, "label": label}
    return labelled_records(table_of(path, roles, _json(path)), roles)


def read_labelled_csv(
    path: Path,
    text: str | int,
    second: str | int | None,
    label: str | int | None,
    table: TableSettings | None = None,
) -> list[LabelledText]:
    """One record per row; the arguments are `read_labelled_jsonl`'s, columns of the header, or numbers from 0
    for a file without one.
    """
    roles = {"text": text, "second": second, "label": label}
    return labelled_records(table_of(path, roles, _as(table, "csv")), roles)


def read_labelled_tsv(
    path: Path,
    text: str | int,
    second: str | int | None,
    label: str | int | None,
    table: TableSettings | None = None,
) -> list[LabelledText]:
    """One record per line of tab-separated fields.

    Columns are given by name for a file with a header (GLUE's), by number from 0 for one without. Fields are
    quoted only where the file shows it, as pandas' do.
    """
    roles = {"text": text, "second": second, "label": label}
    return labelled_records(table_of(path, roles, _as(table, "tsv", "\t")), roles)


def _json(path: Path) -> TableSettings:
    """JSON lines; a file called .json may hold one list of objects instead."""
    return TableSettings("json" if kind_of_file(path) == "json" else "jsonl")


def _as(table: TableSettings | None, kind: str, delimiter: str | None = None) -> TableSettings:
    given = table or TableSettings()
    return TableSettings(kind, given.delimiter or delimiter, given.header, given.quoted, given.sheet)
