"""Reading text, JSON, CSV and TSV so that every mistake is named with its line."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from softprompt.errors import DataError, Problem, kind_of, nearest
from softprompt.untrusted import Unreadable, decode, forbidden_character, parse_json, read_bytes

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")

_MOST_MISTAKES, _MOST_KINDS = 1_000, 10
"""Reading a file stops at so many mistakes, and at so many different ones, which are listed."""


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """The file as text, without a byte-order mark and with its line ends as they are.

    Args:
        path: the file.
        encoding: UTF-8, or `latin-1`, which takes any byte.

    Raises:
        DataError: the file cannot be read, is empty, is not UTF-8 or holds the character NUL; with the line.
    """
    try:
        data = read_bytes(path)
    except Unreadable as error:
        raise DataError(str(path), str(error), "a file that can be read") from None
    try:
        text = decode(data, encoding)
    except Unreadable as error:
        raise DataError(error.inside(path), str(error), "UTF-8 text", "save the file as UTF-8") from None
    if "\0" in text:
        where = f"{path}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}"
        raise DataError(where, "the character NUL", "UTF-8 text", "save the file as UTF-8")
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


def each(items: Iterable[_Item], make: Callable[[_Item], _Made]) -> list[_Made]:
    """What `make` gives for every item, in order.

    Raises:
        DataError: the mistakes of all items, so that a file can be corrected at once. A mistake that several
            items have is listed once, with their number.
    """
    made: list[_Made] = []
    mistakes: dict[tuple[Any, str, str], list[DataError]] = {}
    n_mistakes = 0
    try:
        for item in items:
            try:
                made.append(make(item))
            except DataError as error:
                mistakes.setdefault((error.got, error.expected, error.hint), []).append(error)
                n_mistakes += 1
                if n_mistakes == _MOST_MISTAKES or len(mistakes) == _MOST_KINDS:
                    break
    except DataError as error:  # the file cannot be followed beyond this place
        mistakes[error.got, error.expected, error.hint] = [error]
    if mistakes:
        listed = [_alike(errors) for errors in mistakes.values()]
        if n_mistakes == _MOST_MISTAKES or len(mistakes) >= _MOST_KINDS:
            listed.append(Problem("", hint="there may be more mistakes, since reading stopped here"))
        raise DataError.several(listed)
    return made


def _alike(errors: Sequence[DataError]) -> Problem:
    first, more = errors[0], len(errors) - 1
    where = f"{first.where} and {more:,} more" if more else first.where
    return Problem(where, first.got, first.expected, first.hint)


def text_lines(path: Path, encoding: str = "utf-8-sig") -> Iterator[tuple[int, str, str]]:
    """Each line's number, its place in messages, and its text; empty lines are among them, without a place.

    Raises:
        DataError: as `read_text`; a carriage return that no line feed follows, which some programs take for
            the end of a line and others for a character.
    """
    # Only "\n" ends a line: splitlines() would also cut inside strings, at U+2028 for one.
    for number, line in enumerate(read_text(path, encoding).split("\n"), start=1):
        if not line:  # millions of blank lines are passed over soon
            yield number, "", line
            continue
        where, text = f"{path}, line {number}", line.rstrip("\r")
        if "\r" in text:
            expected, do = (
                "line feeds at the ends of lines",
                "save the file with line ends of Unix or Windows",
            )
            raise DataError(where, "a carriage return inside of the line", expected, do)
        yield number, where, text


def json_objects(path: Path, make: Callable[[int, str, dict[str, Any]], _Made]) -> list[_Made]:
    """What `make` gives for each line's number, place in messages and JSON object, blank lines aside."""

    def made(line: tuple[int, str, str]) -> _Made:
        number, where, text = line
        try:
            value = parse_json(text)
        except Unreadable as error:
            raise DataError(where, _with_column(error), "a JSON object") from None
        if not isinstance(value, dict):
            raise DataError(where, kind_of(value), "a JSON object")
        return make(number, where, value)

    return each((line for line in text_lines(path) if line[2].strip()), made)


def _with_column(error: Unreadable) -> str:
    return str(error) if error.column is None else f"{str(error)[:-1]}, column {error.column})"


def csv_rows(path: Path, columns: Sequence[str], make: Callable[[int, str, list[str]], _Made]) -> list[_Made]:
    """What `make` gives for the line that each row starts on, its place in messages and its named columns."""
    rows = _csv_rows(path)
    _, where, header = next(rows, (0, str(path), []))
    places = [_column(name, header, where) for name in columns]

    def made(line: tuple[int, str, list[str]]) -> _Made:
        number, where, row = line
        if len(row) != len(header):
            raise DataError(where, f"{len(row)} fields", f"{len(header)}, as in the header")
        return make(number, where, [row[place] for place in places])

    return each(rows, made)


def _csv_rows(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            got, expected = f"malformed CSV ({error})", "rows of fields separated by commas"
            raise DataError(f"{path}, line {line}", got, expected) from None
        if row:
            yield line, f"{path}, line {line}", row


def tsv_rows(
    path: Path, columns: Sequence[str | int], make: Callable[[int, str, list[str]], _Made]
) -> list[_Made]:
    """What `make` gives for each row's line, its place in messages and its columns.

    Quotes are characters like any other. Columns by name mean a header, columns by number (from 0) mean that
    there is none.
    """
    rows = ((line, where, text.split("\t")) for line, where, text in text_lines(path) if text.strip())
    first = next(rows)
    _, where, header = first
    places = [column for column in columns if isinstance(column, int)]
    if len(places) < len(columns):
        places = [_column(str(name), header, where) for name in columns]
    else:
        if max(places) >= len(header):
            expected = f"columns 0 to {len(header) - 1}, which the line has"
            raise DataError(where, f"column {max(places)}", expected, "count columns from 0")
        rows = chain([first], rows)

    def made(line: tuple[int, str, list[str]]) -> _Made:
        number, where, row = line
        if len(row) != len(header):
            expected = f"{len(header)}, as in the first line"
            raise DataError(where, f"{len(row)} fields", expected, "separate fields by single tabs")
        return make(number, where, [row[place] for place in places])

    return each(rows, made)


def field(item: dict[str, Any], name: str, where: str) -> Any:
    """The object's value under `name`; where it has none, an error with the nearest name."""
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
    """The value, if it is a text with more than white space, and without NUL or half a surrogate pair."""
    if not isinstance(value, str):
        raise DataError(where, f"{kind_of(value)} in '{name}'", "a text")
    if not value.strip():
        raise DataError(where, f"an empty '{name}'", "a text", "fill it in or remove the record")
    if wrong := forbidden_character(value):
        nul = ("a text without it", "remove the character")
        expected, do = nul if "\0" in value else ("whole characters", "")
        raise DataError(where, f"{wrong} in '{name}'", expected, do)
    return value


def several(value: object, name: str, where: str) -> tuple[str, ...]:
    """The value, if it is a list of at least one text."""
    if not isinstance(value, list):
        raise DataError(where, f"{kind_of(value)} in '{name}'", "a list of texts")
    if not value:
        raise DataError(where, f"an empty '{name}'", "at least one text", "fill it in or remove the record")
    return tuple(words(item, name, where) for item in value)


def missing(kind: str, name: str, known: Sequence[str], where: str) -> DataError:
    """The error of an unknown name, with the nearest known name or all of them.

    Args:
        kind: what it names: `field`, `column`, `split`.
        name: as it was given.
        known: the known names.
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
