"""Reading text, JSON, CSV and TSV so that every mistake is named with its line."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from softprompt.errors import DataError, kind_of, nearest
from softprompt.untrusted import Unreadable, decode, parse_json, read_bytes


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """The file as text, without a byte-order mark and with its line ends as they are.

    Args:
        path: the file.
        encoding: UTF-8, or `latin-1`, which takes any byte.

    Raises:
        DataError: the file cannot be read, is empty, or is not UTF-8 (naming the line).
    """
    try:
        data = read_bytes(path)
    except Unreadable as error:
        raise DataError(str(path), str(error), "a file that can be read") from None
    try:
        text = decode(data, encoding)
    except Unreadable as error:
        raise DataError(error.inside(path), str(error), "UTF-8 text", "save the file as UTF-8") from None
    if not text.strip():
        raise DataError(str(path), "an empty file", "at least one record")
    return text


def json_file(path: Path, expected: str) -> Any:
    """The one JSON value that the file holds; `expected` says in an error what it should be."""
    text = read_text(path)
    try:
        return parse_json(text)
    except Unreadable as error:
        raise DataError(error.inside(path), _with_column(error), expected) from None


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number and its JSON object; blank lines are passed over."""
    # Only "\n" ends a line: splitlines() would also cut inside strings, at U+2028 for one.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = parse_json(line)
        except Unreadable as error:
            raise DataError(where, _with_column(error), "a JSON object") from None
        if not isinstance(value, dict):
            raise DataError(where, kind_of(value), "a JSON object")
        yield number, value


def _with_column(error: Unreadable) -> str:
    return str(error) if error.column is None else f"{str(error)[:-1]}, column {error.column})"


def csv_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The line that each row starts on, and the row's values of the named columns."""
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    places: list[int] = []
    while True:
        line = reader.line_num + 1
        where = f"{path}, line {line}"
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(where, f"malformed CSV ({error})", "rows of fields separated by commas") from None
        if not row:
            continue
        if not header:
            header = row
            places = [_column(name, header, where) for name in columns]
            continue
        if len(row) != len(header):
            raise DataError(where, f"{len(row)} fields", f"{len(header)}, as in the header")
        yield line, [row[place] for place in places]


def tsv_rows(path: Path, columns: Sequence[str | int]) -> Iterator[tuple[int, list[str]]]:
    """Each row's line and its values of the columns; quotes are characters like any other.

    Columns by name mean a header, columns by number (from 0) mean that there is none.
    """
    places = [column for column in columns if isinstance(column, int)]
    headed, width = len(places) < len(columns), 0
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        where, row = f"{path}, line {line}", text.removesuffix("\r").split("\t")
        if not width:
            width = len(row)
            if headed:
                places = [_column(str(name), row, where) for name in columns]
                continue
            if max(places) >= width:
                expected = f"columns 0 to {width - 1}, which the line has"
                raise DataError(where, f"column {max(places)}", expected, "count columns from 0")
        if len(row) != width:
            expected = f"{width}, as in the first line"
            raise DataError(where, f"{len(row)} fields", expected, "separate fields by single tabs")
        yield line, [row[place] for place in places]


def field(item: dict[str, Any], name: str, where: str) -> Any:
    """The object's value under `name`; an error with the nearest name where there is none."""
    if name not in item:
        raise missing("field", name, list(item), where)
    return item[name]


def all_have(items: Sequence[tuple[str, dict[str, Any]]], name: str) -> bool:
    """Whether the objects have the field: every one has, or none (a test set without its labels).

    Args:
        items: each object with its place, for messages.
        name: the field.

    Raises:
        DataError: one has it and another does not, or one has a field of nearly that name instead.
    """
    some = any(name in item for _, item in items)
    for where, item in items:
        if some or nearest(name, item):
            field(item, name, where)
    return some


def words(value: object, name: str, where: str) -> str:
    """The value, if it is a text that says something."""
    if not isinstance(value, str):
        raise DataError(where, f"{kind_of(value)} in '{name}'", "a text")
    if not value.strip():
        raise DataError(where, f"an empty '{name}'", "a text", "fill it in or remove the record")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(where, f"half a surrogate pair in '{name}'", "whole characters") from None
    return value


def several(value: object, name: str, where: str) -> tuple[str, ...]:
    """The value, if it is a list of at least one text."""
    if not isinstance(value, list):
        raise DataError(where, f"{kind_of(value)} in '{name}'", "a list of texts")
    if not value:
        raise DataError(where, f"an empty '{name}'", "at least one text", "fill it in or remove the record")
    return tuple(words(item, name, where) for item in value)


def missing(kind: str, name: str, known: Sequence[str], where: str) -> DataError:
    """The error of a name that is not there, with the nearest one that is, or all of them.

    Args:
        kind: what it names: `field`, `column`, `split`.
        name: as it was given.
        known: the names that are there.
        where: the file or data set.
    """
    hint = nearest(name, known) or f"choose one of the {kind}s here: {', '.join(known)}"
    return DataError(where, f"no {kind} '{name}'", f"a {kind} of that name", hint)


def _column(name: str, header: list[str], where: str) -> int:
    if name not in header:
        raise missing("column", name, header, where)
    if header.count(name) > 1:
        raise DataError(where, f"the column '{name}' {header.count(name)} times", "each column once")
    return header.index(name)
