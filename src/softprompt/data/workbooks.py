"""Tables in binary files: Parquet and Excel."""

import datetime
import io
import zipfile
from collections.abc import Sequence
from typing import Any

from softprompt.errors import DataError, in_its_words, in_yaml
from softprompt.extras import require
from softprompt.untrusted import MOST_BYTES


def parquet_rows(data: bytes, where: str) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns and rows of a Parquet file, values as Python has them.

    Raises:
        DataError: pyarrow is not installed or cannot read it, or it is too large once unpacked.
    """
    require("tables", "Parquet files", "pyarrow", error=DataError)
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data))
        facts = file.metadata
        size = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
        if size > MOST_BYTES:
            raise DataError(where, f"{size:,} bytes once unpacked", f"at most {MOST_BYTES:,}")
        table = file.read()
        return list(table.column_names), table.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(where, f"a file that pyarrow cannot read: {in_its_words(error)}", "Parquet") from None


def sheet_rows(data: bytes, where: str, sheet: str | None = None) -> list[tuple[int, list[Any]]]:
    """The rows of one sheet of an Excel workbook (.xlsx), each with its number in the sheet.

    Numbers, truth values and texts are as Excel keeps them, dates are texts in ISO's form; a formula is the
    value that Excel computed last.

    Args:
        data: the file's bytes.
        where: the file, for errors.
        sheet: its name; None takes the only one that is filled.

    Raises:
        DataError: openpyxl is not installed or cannot read it, several sheets are filled, none is.
    """
    require("tables", "Excel files", "openpyxl", error=DataError)
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > MOST_BYTES:
            raise DataError(where, f"{size:,} bytes once unpacked", f"at most {MOST_BYTES:,}")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        # read_only trusts a size that the file states, which some programs write wrongly
        sheets = {one.title: one for one in book.worksheets}
        for one in sheets.values():
            one.reset_dimensions()
        if sheet is not None and sheet not in sheets:
            raise DataError(where, f"no sheet '{sheet}'", f"one of {', '.join(sheets)}", "set data.sheet")
        chosen = {sheet: sheets[sheet]} if sheet is not None else sheets
        filled = {title: rows for title, one in chosen.items() if (rows := _filled(one))}
    except DataError:
        raise
    except Exception as error:  # openpyxl lets errors of zip, XML and its own descriptors through
        raise DataError(
            where, f"a file that openpyxl cannot read: {in_its_words(error)}", "Excel (.xlsx)"
        ) from None
    if len(filled) != 1:
        got = f"{len(filled)} filled sheets ({', '.join(filled)})" if filled else "an empty workbook"
        raise DataError(
            where, got, "one sheet with rows", f"name it, e.g. data.sheet: {in_yaml(next(iter(filled), ''))}"
        )
    return next(iter(filled.values()))


def _filled(sheet: Any) -> list[tuple[int, list[Any]]]:
    rows = [
        (number, list(map(_value, row))) for number, row in enumerate(sheet.iter_rows(values_only=True), 1)
    ]
    while rows and _is_blank(rows[-1][1]):
        rows.pop()
    width = max(
        (place + 1 for _, row in rows for place, cell in enumerate(row) if cell is not None), default=0
    )
    return [(number, (row + [None] * width)[:width]) for number, row in rows]


def _is_blank(row: Sequence[Any]) -> bool:
    return all(cell is None or cell == "" for cell in row)


def _value(cell: Any) -> Any:
    if isinstance(cell, (datetime.datetime, datetime.date, datetime.time)):
        return cell.isoformat()
    return cell if cell is None or isinstance(cell, (str, int, float, bool)) else str(cell)
