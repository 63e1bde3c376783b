"""Reading text, JSON, CSV and TSV so that every mistake is named with its line."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from softprompt.data.contents import file_bytes, file_text, text_lines_of
from softprompt.data.reading_rules import rules
from softprompt.errors import DataError, Problem, counted, kind_of, nearest
from softprompt.untrusted import Unreadable, forbidden_character, parse_json

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")

_MOST_MISTAKES, _LISTED = 10_000, 10
"""Reading a file stops at so many mistakes, of which so many are listed."""


def read_text(path: Path, encoding: str | None = None) -> str:
    """The file as text, without a byte-order mark and with its line ends as they are; gzipped or not.

    Args:
        path: the file.
        encoding: None is `data.encoding`, or UTF-8 or what a byte-order mark says; `latin-1` takes any byte.

    Raises:
        DataError: the file cannot be read, is empty, is in another encoding or holds the character NUL; with
            the line.
    """
    return file_text(file_bytes(path), str(path), rules().encoding or encoding)


def json_file(path: Path, expected: str) -> Any:
    """The one JSON value that the file holds; `expected` says in an error what it should be."""
    text = read_text(path)
    try:
        return parse_json(text)
    except Unreadable as error:
        raise DataError(error.inside(path), _with_column(error), expected) from None


def each(items: Iterable[_Item], make: Callable[[_Item], _Made]) -> list[_Made]:
    """What `make` gives for every item, in order.

    Where `data.on_bad_row` is `skip`, items with mistakes are left out, and counted.

    Raises:
        DataError: the first ten mistakes, each with its place, and how many there are, so that a file can be
            corrected at once; a place from which on the file cannot be followed.
    """
    made: list[_Made] = []
    mistakes: list[Any] = []
    n_items = n_bad = 0
    broken: DataError | None = None
    now = rules()
    try:
        for item in items:
            n_items += 1
            try:
                made.append(make(item))
            except DataError as error:
                n_bad += 1
                mistakes.extend(error.problems[: _LISTED - len(mistakes)])
                if n_bad == _MOST_MISTAKES and not now.skip:
                    break
    except DataError as error:  # the file cannot be followed beyond this place
        broken = error
    if now.skip and n_bad and broken is None:
        now.n_skipped += n_bad
        now.skipped.extend(map(str, mistakes[: _LISTED - len(now.skipped)]))
        return made
    if broken is not None:
        raise DataError.several([*mistakes, *broken.problems])
    if mistakes:
        raise DataError.several([*mistakes, *_count(n_bad, n_items, len(mistakes))])
    return made


def _count(n_bad: int, n_items: int, n_listed: int) -> list[Problem]:
    """How many are bad, where that is more than are listed."""
    if n_bad <= n_listed:
        return []
    at_least = "at least " if n_bad == _MOST_MISTAKES else ""
    hint = (
        f"{at_least}{n_bad:,} of {counted(n_items, 'row')} are bad, of which these are the first; correct "
        "them, or set data.on_bad_row to skip to leave them out"
    )
    return [Problem("", hint=hint)]


def text_lines(path: Path, encoding: str | None = None) -> Iterator[tuple[int, str, str]]:
    """Each line's number, its place in messages, and its text; empty lines are among them, without a place.

    Lines end as on Unix or Windows; where no line does, as on old Macs.

    Raises:
        DataError: as `read_text`; a carriage return inside a line, which some programs take for its end and
            others for a character.
    """
    # Only these end a line: splitlines() would also cut inside strings, at U+2028 for one.
    for number, text in enumerate(text_lines_of(read_text(path, encoding)), start=1):
        if not text:  # millions of blank lines are passed over soon
            yield number, "", text
            continue
        where, text = f"{path}, line {number}", text.rstrip("\r")
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
            raise DataError(where, counted(len(row), "field"), f"{len(header)}, as in the header")
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
            raise DataError(where, counted(len(row), "field"), expected, "separate fields by single tabs")
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
