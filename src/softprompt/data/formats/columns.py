"""Any JSON-lines, CSV or TSV file with columns for source and target, or for one or two texts and a label.

Texts are taken as they stand, white space included.
"""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from softprompt.data.formats.images import pictured_text
from softprompt.data.parsing import csv_rows, field, json_objects, several, tsv_rows, words
from softprompt.data.records import LabelledText, PicturedText, Record
from softprompt.errors import DataError, kind_of


def read_jsonl(path: Path, source: str, target: str) -> list[Record]:
    """One record per line; the target is a text, or a list of texts (several references)."""

    def record(line: int, where: str, item: dict[str, Any]) -> Record:
        text = words(field(item, source, where), source, where)
        value = field(item, target, where)
        targets = several(value, target, where) if isinstance(value, list) else (words(value, target, where),)
        return Record(f"{path.name}:{line}", text, targets)

    return json_objects(path, record)


def read_csv(path: Path, source: str, target: str) -> list[Record]:
    """One record per distinct source, in order of first appearance.

    A CSV cell holds one text, so several references for a source are several rows, wherever they
    stand. The record is named after the first of them.
    """

    def pair(line: int, where: str, row: list[str]) -> tuple[int, str, str]:
        return line, words(row[0], source, where), words(row[1], target, where)

    return grouped(path, csv_rows(path, (source, target), pair))


def grouped(path: Path, pairs: Iterable[tuple[int, str, str]]) -> list[Record]:
    """One record per distinct source with all its targets, from the line, source and target of every row."""
    targets: dict[str, list[str]] = {}
    lines: dict[str, int] = {}
    for line, source, target in pairs:
        lines.setdefault(source, line)
        targets.setdefault(source, []).append(target)
    return [Record(f"{path.name}:{lines[source]}", source, tuple(targets[source])) for source in targets]


def read_pictured_jsonl(path: Path, source: str, target: str, image: str) -> list[PicturedText]:
    """One record per line: a text, one target or a list of them, and the path of a picture, seen from the
    file's own folder.
    """

    def record(line: int, where: str, item: dict[str, Any]) -> PicturedText:
        text, value = words(field(item, source, where), source, where), field(item, target, where)
        targets = several(value, target, where) if isinstance(value, list) else (words(value, target, where),)
        picture = words(field(item, image, where), image, where)
        return pictured_text(f"{path.name}:{line}", text, targets, path.parent / picture, picture)

    return json_objects(path, record)


def read_pictured_csv(path: Path, source: str, target: str, image: str) -> list[PicturedText]:
    """One record per row: a text, a target, and the path of a picture, seen from the file's own folder."""

    def record(line: int, where: str, row: list[str]) -> PicturedText:
        text, target_text = words(row[0], source, where), words(row[1], target, where)
        picture = words(row[2], image, where)
        return pictured_text(f"{path.name}:{line}", text, (target_text,), path.parent / picture, picture)

    return csv_rows(path, (source, target, image), record)


def read_labelled_jsonl(path: Path, text: str, second: str | None, label: str | None) -> list[LabelledText]:
    """One record per line.

    Args:
        path: the file.
        text: field of the text.
        second: field of the second text; None where there is one.
        label: field of the label (a text, a number, true or false); None leaves records unlabelled.
    """

    def record(line: int, where: str, item: dict[str, Any]) -> LabelledText:
        texts = [words(field(item, name, where), name, where) for name in (text, second) if name is not None]
        value = None if label is None else label_text(field(item, label, where), label, where)
        return _record(f"{path.name}:{line}", texts, value)

    return json_objects(path, record)


def read_labelled_csv(path: Path, text: str, second: str | None, label: str | None) -> list[LabelledText]:
    """One record per row; the arguments are `read_labelled_jsonl`'s, columns of the header."""
    columns = [name for name in (text, second, label) if name is not None]
    return csv_rows(path, columns, partial(_row, path.name, columns, label))


def read_labelled_tsv(
    path: Path, text: str | int, second: str | int | None, label: str | int | None
) -> list[LabelledText]:
    """One record per line of tab-separated fields, which are never quoted.

    Columns are given by name for a file with a header (GLUE's), by number from 0 for one without.
    """
    columns = [name for name in (text, second, label) if name is not None]
    return tsv_rows(path, columns, partial(_row, path.name, columns, label))


def label_text(value: object, name: str, where: str) -> str:
    """A label as text: `true` and `false` for truth values, digits for numbers.

    Raises:
        DataError: neither a text nor a number, or a text that is empty or has white space around it.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if not isinstance(value, str):
        got = value if isinstance(value, float) else kind_of(value)
        raise DataError(where, f"{got} in '{name}'", "a text, a number, true or false")
    if words(value, name, where) != value.strip():
        # Two spellings of one label would silently become two labels.
        got = f"the label {value!r} in '{name}'"
        raise DataError(where, got, "a label without white space around it", "remove the white space")
    return value


def _row(
    file: str, columns: Sequence[str | int], label: str | int | None, line: int, where: str, row: list[str]
) -> LabelledText:
    n_texts = len(columns) - (label is not None)
    texts = [words(cell, str(name), where) for name, cell in zip(columns[:n_texts], row, strict=False)]
    value = None if label is None else label_text(row[-1], str(label), where)
    return _record(f"{file}:{line}", texts, value)


def _record(name: str, texts: list[str], label: str | None) -> LabelledText:
    return LabelledText(name, texts[0], label, texts[1] if len(texts) > 1 else None)
