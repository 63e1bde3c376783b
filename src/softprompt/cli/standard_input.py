"""Standard input as lines, lines of JSON or a table; a table that nobody announced is asked about."""

import csv
import io
import sys
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from softprompt.data import Table

Reading = Literal["auto", "lines", "jsonl", "csv", "tsv"]
"""How standard input is read; `auto` takes lines, or lines of JSON."""

STANDARD_INPUT = "standard input"
_TELLING = ("text", "source", "question", "sentence", "input", "prompt", "id", "label", "premise", "context")
"""Usual names of columns, by which a table on standard input is known."""


def standard_input(reading: Reading, stored: dict[str, Any], options: dict[str, Any]) -> "tuple[Table, bool]":
    """The rows of standard input, and whether they are plain lines.

    Args:
        reading: as what.
        stored: settings of `data` of the prompt, whose columns may be those of a table.
        options: of tables: encoding, delimiter, header, sheet.

    Raises:
        DataError: nothing, or what cannot be read.
        ConfigError: lines that look like a table.
    """
    from softprompt.data import Row, Table, read_table
    from softprompt.errors import ConfigError, DataError
    from softprompt.terminal import echo

    if sys.stdin.isatty():
        echo("write one text on each line; end with Ctrl-D (Windows: Ctrl-Z, Enter)", err=True)
    stream = io.BytesIO(sys.stdin.buffer.read())
    stream.name = STANDARD_INPUT
    binary = stream.getvalue().startswith((b"PAR1", b"PK\x03\x04", b"\x1f\x8b"))
    if reading in ("csv", "tsv", "jsonl") or (reading == "auto" and binary):
        kind = None if reading == "auto" else reading
        return read_table(stream, kind=kind, keep_blank=True, **options), False
    encoding = options.get("encoding") or "utf-8-sig"
    try:
        text = stream.getvalue().decode(encoding)
    except UnicodeDecodeError as error:
        got = f"bytes that are not {'UTF-8' if encoding == 'utf-8-sig' else encoding} ({error.reason})"
        raise DataError(
            STANDARD_INPUT, got, "UTF-8 text", "say what it is in: --set data.encoding=gb18030"
        ) from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    lines = lines[:-1] if not lines[-1] else lines
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        do = "pipe some in, or give the texts as arguments"
        raise DataError(STANDARD_INPUT, "no text", "a text on each line", do)
    if reading == "auto" and first.lstrip().startswith("{") and _is_object(first):
        return read_table(stream, kind="jsonl", keep_blank=True, **options), False
    if reading == "auto" and (seen := table_seen(text, stored)):
        raise ConfigError(
            STANDARD_INPUT,
            f"what looks like a table ({seen})",
            "a text on each line, or an object of JSON",
            "add `--input - --as csv` for its rows (or tsv), or `--input - --as lines` for its lines",
        )
    rows = [
        Row(n, f"{STANDARD_INPUT}, line {n}", {"text": line}, blank=not line.strip())
        for n, line in enumerate(lines, start=1)
    ]
    return Table(STANDARD_INPUT, "txt", ("text",), rows, header=False), True


def _is_object(line: str) -> bool:
    from softprompt.untrusted import Unreadable, parse_json

    try:
        return isinstance(parse_json(line), dict)
    except Unreadable:
        return False


def table_seen(text: str, stored: dict[str, Any]) -> str:
    """What shows that lines are a table: a header of columns, or quotes around line breaks; else nothing."""
    known = {*_TELLING, *(str(name).casefold() for name in stored.values() if isinstance(name, str))}
    first = text.lstrip().split("\n", 1)[0].strip()
    n_lines = len(text.rstrip("\n").split("\n"))
    for delimiter in ",\t;":
        try:
            rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if row]
        except csv.Error:
            continue
        header = [cell.strip() for cell in rows[0]] if rows else []
        even = len(rows) > 1 and all(len(row) == len(header) for row in rows)
        named = sorted(known & {cell.casefold() for cell in header})
        if even and len(header) > 1 and named:
            return f"columns {', '.join(header)}"
        broken = any("\n" in cell for row in rows for cell in row)
        if even and broken and len(rows) < n_lines:
            return "cells in quotes that hold line breaks"
    if first.strip('"').casefold() in known and n_lines > 1:
        return f"the first line is '{first}', the name of a column"
    return ""
