"""Questions in the form of a data set: sentences in columns, SQuAD's JSON, files that a reader rewrites."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from softprompt.data import (
    FORMATS,
    Choices,
    LabelledText,
    Question,
    Record,
    Row,
    Table,
    TaggedWords,
    kind_of_file,
    read,
)
from softprompt.errors import DataError
from softprompt.untrusted import Unreadable, read_bytes

PLAIN = ("boolq", "cb", "rte")
"""Published formats whose columns hold the texts as the model reads them."""

_TABLES = ("csv", "tsv", "xlsx")
_OBJECTS = ("json", "jsonl", "parquet")


_AS_THEY_STAND = (
    *PLAIN, "jsonl", "csv", "pictured_jsonl", "pictured_csv", "labelled_jsonl", "labelled_csv",
    "labelled_tsv", "datasets", "datasets_images", "image_folder", "conll", "squad", "sst2", "trec",
    "trec_fine", "trex",
)  # fmt: skip
"""Formats whose texts a file holds as the model reads them."""


def rewrites(format: str) -> bool:
    """Whether the reader of a format makes texts of its own of what a file holds."""
    if format not in FORMATS or format in _AS_THEY_STAND:
        return False
    return not (FORMATS[format].universal or FORMATS[format].generated)


def own_table(path: Path, stored: Mapping[str, Any], kinds: tuple[type, ...]) -> Table | None:
    """A file in the form of the data that a prompt was trained on, as a table of questions.

    Args:
        path: the file.
        stored: settings of `data` of the prompt.
        kinds: the classes of records that the task reads.

    Returns:
        None for a file of another form, which is a table or nothing.
    """
    format, kind = str(stored.get("format")), kind_of_file(path)
    if TaggedWords in kinds:
        if kind in (*_TABLES, *_OBJECTS):
            return None
        return _sentences(path, stored, kind == "txt")
    if Question in kinds:
        return _read(path, "squad", {}) if kind == "json" else None
    return _read(path, format, stored) if rewrites(format) else None


def _sentences(path: Path, stored: Mapping[str, Any], may_be_texts: bool) -> Table | None:
    """Sentences of a word a line, with tags or without."""
    given = {name: stored[name] for name in ("word_column", "tag_column") if name in stored}
    tagged = _read(path, "conll", given)
    if tagged is not None or not may_be_texts:
        return tagged or _read(path, "conll", {**given, "tag_column": None})
    with suppress(Unreadable, UnicodeDecodeError):
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
        filled = [line for line in lines if line.strip()]
        # Words alone: a line each, and blank lines between sentences.
        if len(filled) < len(lines) and all(len(line.split()) == 1 for line in filled):
            return _read(path, "conll", {"tag_column": None})
    return None


def _read(path: Path, format: str, stored: Mapping[str, Any]) -> Table | None:
    takes = {name: stored[name] for name in FORMATS[format].takes if stored.get(name, path) is not path}
    more = {"encoding": stored["encoding"]} if stored.get("encoding") else {}
    try:
        records = read(format, path, **takes, **more)
    except DataError:
        return None
    rows = [Row(i, f"{path}, record {one.id}", _cells(one)) for i, one in enumerate(records, start=1)]
    columns = dict.fromkeys(name for row in rows for name in row.values)
    return Table(str(path), "json", tuple(columns), rows)


def _cells(record: Any) -> dict[str, Any]:
    """What is asked, by the parts of a question."""
    cells: dict[str, Any] = {"id": record.id}
    if isinstance(record, TaggedWords):
        return cells | {"words": list(record.words)}
    if isinstance(record, Question):
        return cells | {"question": record.question, "context": record.context}
    if isinstance(record, Choices):
        return cells | {"text": record.text, "choices": list(record.choices)}
    if isinstance(record, LabelledText):
        return cells | {"text": record.text} | ({} if record.second is None else {"second": record.second})
    return cells | ({"source": record.source} if isinstance(record, Record) else {})
