"""One reader of any table to rows of named values: CSV, TSV, JSON, JSON lines, Parquet, Excel, lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from softprompt.data.contents import file_bytes, file_text, stream_bytes, text_lines_of
from softprompt.data.delimited import delimited
from softprompt.data.json_rows import json_rows
from softprompt.data.reading_rules import rules
from softprompt.data.workbooks import parquet_rows, sheet_rows
from softprompt.errors import DataError, Problem, counted, kind_of
from softprompt.untrusted import Unreadable, parse_json

SUFFIXES: Mapping[str, str] = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".xlsx": "xlsx", ".xlsm": "xlsx", ".txt": "txt",
}  # fmt: skip
"""The kind of table by a file's suffix; `.gz` may follow each."""

KINDS = ("csv", "tsv", "json", "jsonl", "parquet", "xlsx", "txt")

_PLACES = {"json": "item", "parquet": "row", "xlsx": "row"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Args:
        line: the line that it begins on (csv, tsv, jsonl, txt), its row in the sheet (xlsx) or its place
            from 1 (json, parquet).
        where: its file and place, for messages.
        values: by column. Texts as they stand for csv, tsv and txt; for other kinds values as JSON has
            them. A column that a JSON object lacks is not there. Empty for a row with a problem.
        problem: why it cannot be read; None where it can.
        blank: whether all of its cells are empty.
        unread: what a row with a problem holds: its cells, or the line or value of JSON.
    """

    line: int
    where: str
    values: Mapping[str, Any]
    problem: Problem | None = None
    blank: bool = False
    unread: Any = None


@dataclass(frozen=True)
class Table:
    """A file as a table.

    Args:
        name: the file, for messages.
        kind: one of `KINDS`.
        columns: their names in order; `"0"`, `"1"` and so on where the file has no header. Of several
            columns of one name, those behind the first have a number: `label (2)`.
        rows: in the order of the file.
        repeated: the names that several columns have.
        header: whether the first row named the columns.
        delimiter: what separates the cells of csv and tsv.
        broken: what is wrong with the place from which on the file cannot be read.
        header_line: the line that names the columns, or would; None where that is no line.
        folder: where the file lies, from which it may name others; None for a stream.
        quoted: of csv and tsv, whether quotes stand around cells; false where they are part of the texts.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    rows: list[Row]
    repeated: frozenset[str] = field(default_factory=frozenset)
    header: bool = True
    delimiter: str | None = None
    broken: Problem | None = None
    header_line: int | None = None
    folder: Path | None = None
    quoted: bool = True

    def part(self, **changes: Any) -> "Table":
        """The same table with other values."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class TableSettings:
    """The settings of `data` that say how a table is read; the arguments are those of `read_table`."""

    kind: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    quoted: bool | None = None
    sheet: str | None = None


def kind_of_file(path: Path) -> str | None:
    """The kind of table that a file is by its suffix; None where that says nothing."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def read_table(
    source: Path | str | IO[Any],
    *,
    kind: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool | None = None,
    quoted: bool | None = None,
    sheet: str | None = None,
    keep_blank: bool = False,
) -> Table:
    """A file, or a stream such as standard input, as a table.

    Rows that cannot be read (a row of fewer or more cells than the header, a line that is no JSON object)
    are in it with their problem, so that all of them can be named at once.

    Args:
        source: the file, gzipped or not, or an open stream.
        kind: one of `KINDS`; None takes it from the file's suffix or, of a stream, from how it begins.
        delimiter: what separates cells of csv, tsv and txt; None finds it.
        encoding: of the text; None is UTF-8, or what a byte-order mark says.
        header: whether the first row names the columns; None is true for csv, tsv and xlsx.
        quoted: whether quotes stand around cells; None is true for csv, and found for tsv.
        sheet: of an Excel workbook; None takes the only one that is filled.
        keep_blank: whether rows without anything are among the rows; otherwise they are passed over.

    Raises:
        DataError: a file that cannot be read as its kind, or whose kind, delimiter, quotes or encoding
            cannot be told; with the setting to write.
    """
    folder = None
    if isinstance(source, (str, Path)):
        path = Path(source)
        folder = path.parent
        where = str(path)
        kind = kind or kind_of_file(path)
        data = file_bytes(path)
    else:
        where = str(getattr(source, "name", "the input"))
        data = stream_bytes(source, where)
        kind = kind or _kind_of_content(data)
    if not data:
        raise DataError(where, "an empty file", "at least one record")
    if kind is None:
        expected = f"a file that ends in one of {', '.join(SUFFIXES)}"
        raise DataError(
            where, "no suffix that says what the file is", expected, "rename it, or set data.format"
        )
    if kind not in KINDS:
        raise DataError(where, f"the kind {kind!r}", f"one of {', '.join(KINDS)}")
    _check_signature(data, kind, where)
    if kind == "parquet":
        columns, items = parquet_rows(data, where)
        rows = [Row(n, f"{where}, row {n}", item) for n, item in enumerate(items, start=1)]
        table = Table(where, kind, tuple(columns), rows)
    elif kind == "xlsx":
        table = _of_cells(where, kind, sheet_rows(data, where, sheet), header is not False)
    else:
        text = file_text(data, where, encoding)
        table = _of_text(text, where, kind, delimiter, quoted, header)
    rows = table.rows if keep_blank else [row for row in table.rows if not row.blank]
    return table.part(rows=rows, folder=folder)


def _of_text(
    text: str, where: str, kind: str, delimiter: str | None, quoted: bool | None, header: bool | None
) -> Table:
    if kind == "json":
        return _of_json(text, where)
    if kind == "jsonl":
        return _of_json_lines(text, where)
    if kind == "txt" and delimiter is None and "\t" not in text_lines_of(text)[0]:
        lines = text_lines_of(text)
        lines = lines[:-1] if not lines[-1] else lines
        rows = [
            Row(n, f"{where}, line {n}", {"text": line}, blank=not line.strip())
            for n, line in enumerate(lines, start=1)
        ]
        return Table(where, kind, ("text",), rows, header=False)
    made = delimited(text, where, tabs=kind != "csv", delimiter=delimiter, quoted=quoted)
    table = _of_cells(where, kind, made.rows, header is not False, made.delimiter)
    return table.part(delimiter=made.delimiter, broken=made.broken, quoted=made.quoted)


def _of_cells(
    where: str, kind: str, rows: Sequence[tuple[int, Sequence[Any]]], header: bool, delimiter: str = ","
) -> Table:
    place = _PLACES.get(kind, "line")
    filled = next((at for at, (_, cells) in enumerate(rows) if any(map(_has_content, cells))), None)
    if filled is None:
        return Table(where, kind, (), [], header=header)
    first_line, first = rows[filled]
    if header:
        columns, repeated = _unique([str("" if name is None else name).strip() for name in first])
        rows = rows[filled + 1 :]
    else:
        columns, repeated = [str(n) for n in range(len(first))], frozenset()
    made = []
    for line, cells in rows:
        at = f"{where}, {place} {line}"
        if not any(map(_has_content, cells)):
            made.append(Row(line, at, dict.fromkeys(columns, ""), blank=True))
        elif len(cells) != len(columns):
            tabs = delimiter == "\t"
            expected = f"{len(columns)}, as in the {'header' if header and not tabs else 'first line'}"
            do = "separate fields by single tabs" if tabs else ""
            if len(cells) > len(columns) and not tabs:
                do = "put cells that hold the delimiter in quotes"
            problem = Problem(at, counted(len(cells), "field"), expected, do)
            made.append(Row(line, at, {}, problem, unread=list(cells)))
        else:
            made.append(Row(line, at, dict(zip(columns, cells, strict=True))))
    line = first_line if kind != "xlsx" else None
    return Table(where, kind, tuple(columns), made, repeated, header, header_line=line)


def _has_content(cell: Any) -> bool:
    return bool(cell.strip()) if isinstance(cell, str) else cell is not None


def _unique(names: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return made, frozenset(name for name, times in seen.items() if times > 1)


def _of_json_lines(text: str, where: str) -> Table:
    rows = []
    for n, line in enumerate(text_lines_of(text), start=1):
        at = f"{where}, line {n}"
        if not line.strip():
            rows.append(Row(n, at, {}, blank=True))
            continue
        try:
            value = parse_json(line)
        except Unreadable as error:
            column = "" if error.column is None else f", column {error.column}"
            got = f"{str(error).removesuffix(')')}{column})" if column else str(error)
            rows.append(Row(n, at, {}, Problem(at, got, "a JSON object"), unread=line))
            continue
        rows.append(_json_row(n, at, value))
    while rows and rows[-1].blank:
        rows.pop()
    return _of_objects(where, "jsonl", rows)


def _of_json(text: str, where: str) -> Table:
    try:
        value = parse_json(text)
    except Unreadable as error:
        if "Extra data" in str(error) and _begins_with_object(text):
            return _of_json_lines(text, where)  # many files of JSON lines are called .json
        at = "" if error.column is None else f", column {error.column}"
        got = f"{str(error).removesuffix(')')}{at})" if at else str(error)
        do = "write one list of objects, or an object on each line"
        raise DataError(error.inside(where), got, "a list of JSON objects", do) from None
    items, said = json_rows(value, where)
    if said is not None:
        rules().notes.append(f"{where}: {said}")
    rows = [_json_row(n, f"{where}, item {n}", item) for n, item in enumerate(items, start=1)]
    return _of_objects(where, "json", rows)


def _begins_with_object(text: str) -> bool:
    """Whether the first line that is not blank is a whole object, as in JSON lines."""
    try:
        return isinstance(parse_json(next(line for line in text_lines_of(text) if line.strip())), dict)
    except Unreadable:
        return False


def _json_row(line: int, where: str, value: Any) -> Row:
    if not isinstance(value, dict):
        return Row(line, where, {}, Problem(where, kind_of(value), "a JSON object"), unread=value)
    return Row(line, where, value)


def _of_objects(where: str, kind: str, rows: list[Row]) -> Table:
    return Table(where, kind, tuple(dict.fromkeys(name for row in rows for name in row.values)), rows)


def _kind_of_content(data: bytes) -> str:
    """The kind of table that a stream gives, by how it begins."""
    if data.startswith(b"PAR1"):
        return "parquet"
    if data.startswith(b"PK\x03\x04"):
        return "xlsx"
    begin = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if begin[:1] in (b"{", b"["):
        first, _, rest = begin.strip().partition(b"\n")
        return "jsonl" if begin[:1] == b"{" and rest and first.rstrip().endswith(b"}") else "json"
    return "tsv" if b"\t" in begin.split(b"\n", 1)[0] and b"," not in begin.split(b"\n", 1)[0] else "csv"


def _check_signature(data: bytes, kind: str, where: str) -> None:
    """Refuse a binary file under the name of another kind, and the other way round."""
    signs = {"parquet": b"PAR1", "xlsx": b"PK\x03\x04"}
    for other, sign in signs.items():
        if data.startswith(sign) and kind != other:
            what = {"parquet": "a Parquet file", "xlsx": "an Excel file, or another that is zipped"}[other]
            do = f"leave data.format out, and let the file end in .{other}"
            do += "" if other == "parquet" else " if it is one, or unpack it"
            raise DataError(where, what, f"{kind.upper()} as text", do)
    if kind in signs and not data.startswith(signs[kind]):
        raise DataError(where, f"a file that does not begin as one of kind {kind} does", f"a .{kind} file")
