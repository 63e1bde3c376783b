"""Sentences with tags, questions about a context, and pictures, from any table or from their own forms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softprompt.config import AUTO
from softprompt.data.formats.conll import as_bio, read_conll, scheme_of
from softprompt.data.formats.hub import is_name, read_hub_images
from softprompt.data.formats.images import read_image_folder
from softprompt.data.formats.rows import picture_records, rows_of, table_of, text_of
from softprompt.data.formats.squad import squad_questions, squad_record
from softprompt.data.parsing import json_file, several
from softprompt.data.records import LabelledPicture, Question, TaggedWords
from softprompt.data.roles import assigned, cell
from softprompt.data.tables import Row, Table, TableSettings, kind_of_file
from softprompt.errors import DataError, counted, kind_of
from softprompt.untrusted import Unreadable, parse_json

_OBJECTS = ("json", "jsonl", "parquet")
"""Kinds of tables whose cells can be lists."""


def read_tagged(
    path: Path,
    words: str,
    tags: str | None,
    word_column: int,
    tag_column: int | None,
    tagging: str,
    table: TableSettings | None = None,
) -> list[TaggedWords]:
    """Sentences from a table with a row for each (JSON, Parquet, the hub), or in columns, a word a line."""
    given = table or TableSettings()
    if not is_name(path) and (given.kind or kind_of_file(path)) not in _OBJECTS:
        comma = "," if kind_of_file(path) == "csv" else None
        return read_conll(path, word_column, tag_column, tagging, given.delimiter or comma)
    made = table_of(path, {}, given)
    columns = assigned(made, "tagged", {"words": words, "tags": tags})
    of_words, name = cell(made, str(columns["words"])), columns["tags"]
    of_tags = None if name is None else cell(made, name)
    if of_tags is not None and tagging == AUTO:
        cells = (tag for row in made.rows for tag in row.values.get(str(name)) or () if isinstance(tag, str))
        tagging = scheme_of(cells, made.name)

    def record(row: Row) -> TaggedWords:
        sentence = several(of_words(row), str(columns["words"]), row.where)
        labels: tuple[str, ...] = ()
        if of_tags is not None:
            labels = _tags(of_tags(row), str(name), row.where)
            if len(labels) != len(sentence):
                got, expected = counted(len(labels), "tag"), f"{len(sentence)}, as many as words"
                raise DataError(row.where, got, expected)
            made_tags, problems = as_bio(
                labels, "bio" if tagging == AUTO else tagging, [row.where] * len(labels)
            )
            if problems:
                raise DataError.several(problems)
            labels = tuple(made_tags)
        return TaggedWords(_name(made, row), sentence, labels)

    return rows_of(made, record)


def _tags(value: Any, name: str, where: str) -> tuple[str, ...]:
    if isinstance(value, list) and any(isinstance(tag, int) for tag in value):
        do = "write the tags themselves (B-PER), or give a data set of `datasets`, which keeps their names"
        raise DataError(where, f"numbers in '{name}'", "tags", do)
    return several(value, name, where)


def _name(table: Table, row: Row) -> str:
    return f"{Path(table.name).name}:{row.line}"


def read_questions(
    path: Path,
    question: str,
    context: str,
    answers: str | None,
    table: TableSettings | None = None,
) -> list[Question]:
    """Questions from SQuAD's JSON, or from any table with a row for each, as `datasets` has them."""
    given = table or TableSettings()
    if not is_name(path) and (given.kind or kind_of_file(path)) == "json":
        try:
            whole = json_file(path, "JSON with questions")
        except DataError:
            whole = None  # JSON lines by this name, or a mistake that the table's reader names
        if (articles := _articles(whole)) is not None:
            return squad_questions(articles, path)
    made = table_of(path, {}, given)
    columns = assigned(made, "questions", {"question": question, "context": context, "answers": answers})
    texts = [(str(columns[role]), cell(made, str(columns[role]))) for role in ("question", "context")]
    of_answers = None if columns["answers"] is None else cell(made, columns["answers"])
    ids: set[str] = set()

    def record(row: Row) -> Question:
        asked, within = (text_of(made, name, row, of(row)) for name, of in texts)
        value = row.values.get("id")
        name = value if isinstance(value, str) and value and value not in ids else _name(made, row)
        ids.add(name)
        found = [] if of_answers is None else _answers(of_answers(row), row, str(columns["answers"]))
        item = {"id": name, "question": asked, "answers": found, "is_impossible": not found}
        return squad_record(item, within, of_answers is not None, row.where)

    return rows_of(made, record)


def _articles(whole: Any) -> dict[str, Any] | None:
    """The value in SQuAD's form, if it is in that form or is a bare list of its paragraphs."""
    if isinstance(whole, dict):
        data = whole.get("data")
        if isinstance(data, list) and all(isinstance(item, dict) and "paragraphs" in item for item in data):
            return whole
        return None
    paragraphs = whole if isinstance(whole, list) else []
    if paragraphs and all(isinstance(one, dict) and "qas" in one and "context" in one for one in paragraphs):
        return {"data": [{"paragraphs": paragraphs}]}
    return None


def _answers(value: Any, row: Row, name: str) -> list[dict[str, Any]]:
    """A row's answers as SQuAD's JSON has them."""
    where = row.where
    if isinstance(value, str) and "answer_start" in row.values:
        start = row.values["answer_start"]
        value = {"text": [value] if value else [], "answer_start": [start] if value else []}
        if value["text"] and isinstance(start, str) and start.strip().isdecimal():
            value["answer_start"] = [int(start)]
    elif isinstance(value, str):
        try:
            value = parse_json(value)
        except Unreadable:
            do = "write them as JSON, or give their place in a column 'answer_start'"
            raise DataError(where, f"a text in '{name}'", "answers with text and answer_start", do) from None
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start")
        if isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts):
            both = zip(texts, starts, strict=True)
            return [{"text": text, "answer_start": start} for text, start in both]
        raise DataError(
            where, f"{kind_of(value)} in '{name}'", "lists 'text' and 'answer_start', equally long"
        )
    if not isinstance(value, list):
        raise DataError(where, f"{kind_of(value)} in '{name}'", "answers with text and answer_start")
    return value


def read_pictures(
    path: Path, image: str, label: str | None, table: TableSettings | None = None
) -> list[LabelledPicture]:
    """Labelled pictures from a folder for each class, from a table of paths and labels, or from the hub."""
    if path.is_dir():
        return read_image_folder(path)
    if is_name(path):
        return read_hub_images(path, image, label)
    made = table_of(path, {}, table)
    return picture_records(made, assigned(made, "pictures", {"image": image, "label": label}))
