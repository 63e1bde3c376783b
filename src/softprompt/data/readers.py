"""Every data format by name, and the one way to read them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from softprompt.data.columns import read_csv, read_jsonl
from softprompt.data.dart import read_dart
from softprompt.data.e2e import read_e2e
from softprompt.data.records import Record
from softprompt.data.restaurants import read_restaurants
from softprompt.data.scitldr import read_scitldr
from softprompt.data.webnlg import read_webnlg
from softprompt.errors import ConfigError, DataError, nearest


@dataclass(frozen=True)
class Format:
    """How one kind of data is read.

    Args:
        reader: called with a path; with the source and target column too where `columns`; with
            the split's name instead where `generated`.
        content: what the file holds and who publishes it, for messages.
        columns: whether the user names two columns.
        generated: whether the records are made by code and no file is read.
    """

    reader: Callable[..., list[Record]]
    content: str
    columns: bool = False
    generated: bool = False


FORMATS = {
    "e2e": Format(read_e2e, "E2E NLG's CSV (published by tuetschek/e2e-dataset)"),
    "webnlg": Format(read_webnlg, "WebNLG 2017's XML (published by the WebNLG challenge 2017)"),
    "dart": Format(read_dart, "DART's JSON (published by Yale-LILY/dart)"),
    "scitldr": Format(read_scitldr, "SciTLDR's JSON lines (published by allenai/scitldr)"),
    "jsonl": Format(read_jsonl, "a JSON-lines file with two named fields", columns=True),
    "csv": Format(read_csv, "a CSV file with two named columns", columns=True),
    "restaurants": Format(read_restaurants, "the synthetic restaurants", generated=True),
}
"""The formats that `data.format` takes; a new one is a file beside this one and a row here."""


def read(
    format: str,
    path: Path | str | None = None,
    *,
    source: str = "source",
    target: str = "target",
    split: str | None = None,
) -> list[Record]:
    """The records of one file or folder, in file order.

    Args:
        format: a key of `FORMATS`.
        path: the file or folder, from the working directory; none for `restaurants`.
        source: name of the source column (jsonl and csv only).
        target: name of the target column (jsonl and csv only).
        split: `train`, `dev` or `test` (restaurants only).

    Raises:
        ConfigError: an unknown format, or an argument that the format does not take.
        DataError: a file that is missing, empty or malformed, with the line where it is.
    """
    if format not in FORMATS:
        raise ConfigError(
            "data.format", repr(format), f"one of {', '.join(FORMATS)}", nearest(format, FORMATS)
        )
    form = FORMATS[format]
    if not form.columns and (source, target) != ("source", "target"):
        got = f"columns '{source}' and '{target}' for {format}"
        raise ConfigError("data.source, data.target", got, "columns for jsonl and csv only", "leave them out")
    if form.generated:
        if path is not None:
            raise ConfigError(
                "data", f"the path {path} for {format}", "none: it reads no file", "leave it out"
            )
        return form.reader(split)
    if split is not None:
        raise ConfigError("split", f"'{split}' for {format}", "a split for restaurants only", "give its path")
    if path is None:
        raise ConfigError("data", f"no path for {format}", form.content)
    path = Path(path)
    if not path.exists():
        do = "put it there, or set SOFTPROMPT_DATA to the folder of data sets"
        raise DataError(str(path), "no such file or folder", form.content, do)
    if form.columns:
        if source == target:
            raise ConfigError("data.target", f"'{target}', which is the source too", "another column")
        records = form.reader(path, source, target)
    else:
        records = form.reader(path)
    if not records:
        raise DataError(str(path), "no records", form.content)
    return records
