"""Tables of predictions as files: CSV, TSV, JSON lines and Parquet."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.errors import ConfigError
from softprompt.extras import require
from softprompt.files import write_atomically, writing

Columns = Sequence[str]
Rows = Sequence[Mapping[str, Any]]


def kind_of_output(path: Path) -> str:
    """The kind of file that a name asks for.

    Raises:
        ConfigError: a name without a suffix of `KINDS`.
    """
    kind = path.suffix.lower().removeprefix(".")
    kind = "jsonl" if kind == "ndjson" else kind
    if kind not in KINDS:
        expected = f"a name that ends in {', '.join(f'.{kind}' for kind in KINDS)}"
        raise ConfigError("--output", f"'{path}'", expected)
    if kind == "parquet":
        require("tables", "--output", "pyarrow", error=ConfigError)
    return kind


def write_table(path: Path, columns: Columns, rows: Rows, bare: bool = False) -> None:
    """Write rows whole or not at all, in the kind that the file's name says.

    Args:
        path: the file.
        columns: in order.
        rows: by column.
        bare: write a TSV without quotes around cells, so that those of texts stay as they are; where a cell
            holds a tab or a line break it needs them.

    Raises:
        ConfigError: a name that says none, or values that a Parquet column cannot hold together.
        TrainingError: the disk is full, or the folder cannot be written.
    """
    kind = kind_of_output(path)
    content = (_bare(columns, rows) if bare and kind == "tsv" else None) or KINDS[kind](columns, rows)
    with writing(path.parent, "the answers are kept in the file beside it"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)


def json_line(columns: Columns, row: Mapping[str, Any]) -> str:
    """A row as a line of JSON; a column that the row lacks is left out."""
    known = {name: row[name] for name in columns if name in row}
    return json.dumps(known, ensure_ascii=False, default=str)


def _json_lines(columns: Columns, rows: Rows) -> bytes:
    return "".join(f"{json_line(columns, row)}\n" for row in rows).encode("utf-8")


def _delimited(delimiter: str) -> Callable[[Columns, Rows], bytes]:
    def written(columns: Columns, rows: Rows) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
        return text.getvalue().encode("utf-8")

    return written


def _bare(columns: Columns, rows: Rows) -> bytes | None:
    """A TSV whose quotes are part of its texts; None where a cell holds what would end it."""
    cells = [list(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    texts = [["" if cell is None else str(cell) for cell in line] for line in cells]
    if any(end in text for line in texts for text in line for end in "\t\r\n"):
        return None
    return "".join("\t".join(line) + "\n" for line in texts).encode("utf-8")


def _cell(value: Any) -> Any:
    """A value as the text of a cell: JSON for lists, mappings and truth values, nothing for None."""
    if isinstance(value, (bool, list, dict, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _parquet(columns: Columns, rows: Rows) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name in columns:
        values = [row.get(name) for row in rows]
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            got = f"values of several kinds in '{name}' ({' '.join(str(error).split())[:100]})"
            raise ConfigError(
                "--output", got, "a kind for each column, in Parquet", "write a .jsonl"
            ) from None
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays), buffer)
    return buffer.getvalue()


KINDS: Mapping[str, Callable[[Columns, Rows], bytes]] = {
    "csv": _delimited(","), "tsv": _delimited("\t"), "jsonl": _json_lines, "parquet": _parquet,
}  # fmt: skip
"""How each kind of file is written."""
