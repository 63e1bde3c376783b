"""Tables of cells between delimiters: CSV, TSV and their like."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from softprompt.data.contents import text_lines_of
from softprompt.errors import DataError, Problem, listed

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_QUOTED = re.compile(r'"(?:[^"]|"")*"')

# The module's own bound (131,072 characters) is for the whole process; longer documents are common.
csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))


@dataclass
class Cells:
    """What a delimited text holds.

    Args:
        rows: the line that each row begins on, and its cells; a blank line has none.
        delimiter: what separates cells.
        quoted: whether quotes around a cell are no part of it.
        broken: what is wrong with the place from which on the text cannot be read.
    """

    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    delimiter: str = ","
    quoted: bool = True
    broken: Problem | None = None


def delimited(
    text: str, where: str, *, tabs: bool = False, delimiter: str | None = None, quoted: bool | None = None
) -> Cells:
    """The cells of a text.

    Args:
        text: the text, with the line ends of its file.
        where: the file, for errors.
        tabs: whether cells are separated by tabs, and quoted only where the text shows it.
        delimiter: what separates cells; None finds it. Several characters are never quoted.
        quoted: whether cells may be quoted; None finds it for tabs, and is true for others.

    Raises:
        DataError: the delimiter, or whether cells are quoted, cannot be told; with the setting to write.
    """
    skipped = 0
    if match := re.match(r'"?sep=(.)"?(?:\r\n|\r|\n)', text):  # Excel's own mark
        delimiter, text, skipped = delimiter or match[1], text[match.end() :], 1
    if delimiter is None and not tabs:
        delimiter = _found_delimiter(text, where)
    delimiter = delimiter or "\t"
    if len(delimiter) > 1 or quoted is False:
        made = _plain(text, delimiter)
    elif delimiter == "\t" and quoted is None:
        made = _tabbed(text, where)
    else:
        made = _quoted(text, delimiter, where)
    while made.rows and not made.rows[-1][1] and made.broken is None:
        made.rows.pop()  # blank lines at the end, which are no rows
    if not made.quoted:
        _check_line_ends(made, where)
    if skipped:
        made.rows = [(line + skipped, cells) for line, cells in made.rows]
    return made


def _plain(text: str, delimiter: str) -> Cells:
    lines = text_lines_of(text)
    rows = [(n, line.split(delimiter) if line.strip() else []) for n, line in enumerate(lines, start=1)]
    return Cells(rows, delimiter, quoted=False)


def _check_line_ends(made: Cells, where: str) -> None:
    """Refuse a carriage return inside a line, which some programs take for its end."""
    for line, cells in made.rows:
        if any("\r" in cell for cell in cells):
            expected = "line feeds at the ends of lines"
            do = "save the file with line ends of Unix or Windows"
            at = f"{where}, line {line}"
            raise DataError(at, "a carriage return inside of the line", expected, do)


def _quoted(text: str, delimiter: str, where: str) -> Cells:
    made = Cells([], delimiter)
    # A space behind every delimiter of the first line is how its author writes them.
    first = text_lines_of(text)[0]
    spaced = delimiter in first and all(part.startswith(" ") for part in first.split(delimiter)[1:])
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=spaced
    )
    while True:
        line = reader.line_num + 1
        try:
            made.rows.append((line, next(reader)))
        except StopIteration:
            return made
        except csv.Error as error:
            got, expected = f"malformed CSV ({error})", f"rows of fields separated by {_named(delimiter)}"
            made.broken = Problem(f"{where}, line {line}", got, expected, _quote_hint(str(error)))
            return made


def _quote_hint(said: str) -> str:
    if "unexpected end" in said:
        return "close the quote, or set data.quoted to false if quotes are part of the texts"
    if "expected after" in said:
        return 'double the quotes inside of a quoted cell (""), or set data.quoted to false'
    return ""


def _named(delimiter: str) -> str:
    return f"{_DELIMITERS.get(delimiter, repr(delimiter)).removeprefix('a ')}s"


def _found_delimiter(text: str, where: str) -> str:
    """The one character that separates the cells of every row."""
    first = next((line for line in text_lines_of(text) if line.strip()), "")
    bare = _QUOTED.sub("", first)
    seen = [sign for sign in _DELIMITERS if sign in bare]
    if len(seen) < 2:
        return seen[0] if seen else ","
    even = [sign for sign in seen if _is_even(_quoted(text, sign, where))]
    if len(even) == 1:
        return even[0]
    got = f"rows that may be separated by {listed([_DELIMITERS[sign] for sign in even or seen])}"
    raise DataError(where, got, "one of them", "say which, e.g. data.delimiter: ','")


def _is_even(made: Cells) -> bool:
    widths = {len(cells) for _, cells in made.rows if cells}
    return made.broken is None and len(widths) == 1 and widths != {1}


def _tabbed(text: str, where: str) -> Cells:
    """A TSV's cells, unquoted only where the text shows it: GLUE's are none, those of pandas may be."""
    plain = _plain(text, "\t")
    if '"' not in text or not any(cell.startswith('"') for _, cells in plain.rows for cell in cells):
        return plain
    quoted = _quoted(text, "\t", where)
    whole = list(_cells(plain.rows))
    if not _is_even(quoted) or (_is_even(plain) and any(_is_bare(cell) for cell in whole)):
        return plain
    if not _is_even(plain) or any('""' in cell[1:-1] for cell in whole) or _all_quoted(plain.rows):
        return quoted
    line = next(n for n, cells in plain.rows for cell in cells if cell.startswith('"'))
    got = "cells in quotes, which may be part of the texts or stand around them"
    do = "say which: data.quoted: true takes them off, data.quoted: false keeps them"
    raise DataError(f"{where}, line {line}", got, "one of the two", do)


def _cells(rows: Sequence[tuple[int, list[str]]]) -> Iterator[str]:
    return (cell for _, cells in rows for cell in cells if '"' in cell)


def _is_bare(cell: str) -> bool:
    """Whether a cell has a quote as no program that quotes would write it: it would have quoted the cell."""
    return not _QUOTED.fullmatch(cell)


def _all_quoted(rows: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether every cell is quoted, or every one that is no number (from the second row on, too)."""
    return all(
        _QUOTED.fullmatch(cell) or re.fullmatch(r"[-+.\deE]*", cell) for _, cells in rows for cell in cells
    ) and any(cells for _, cells in rows)
