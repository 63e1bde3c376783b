"""Sentences in columns, a word and its tag a line (WNUT 2017, CoNLL 2003 and their like)."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from softprompt.config import AUTO
from softprompt.data.parsing import each, text_lines
from softprompt.data.reading_rules import rules
from softprompt.data.records import TaggedWords
from softprompt.errors import DataError, Problem, counted

_TAG = re.compile(r"O|[BIEMSLU]-\S+")

_SCHEMES = {"bio": "BI", "iob1": "BI", "bioes": "BIEMS", "bilou": "BILU"}
"""The letters of each scheme."""

_DELIMITER = (
    "separate columns by tabs or spaces, or say what does, e.g. data.delimiter: ','; set data.tag_column to "
    "null if words have no tags"
)

_AS_BIO = {"M": "I", "E": "I", "L": "I", "S": "B", "U": "B"}

_Line = tuple[int, str, list[str]]
"""A line's number, its place in messages, and its columns."""


def read_conll(
    path: Path, word_column: int, tag_column: int | None, tagging: str, delimiter: str | None = None
) -> list[TaggedWords]:
    """One record per sentence, named after the line it begins on, its tags in BIO.

    Source: leondz/emerging_entities_17 and CoNLL 2003 for the files. A line with a tab is cut at its
    tabs, any other at runs of spaces. Blank lines, also of white space alone (WNUT 2017's training
    file has 2,394), end a sentence, and so do `-DOCSTART-` lines, which are passed over. A line that
    begins with `#` and has another number of columns, or no tag where tags stand, is a comment.

    Args:
        path: the file.
        word_column: place of the words, from 0; negative counts from the end.
        tag_column: place of the tags; None leaves the words untagged.
        tagging: `bio`; `iob1`, where an entity begins with B- only behind another one of its type;
            `bioes` (or BMES) or `bilou`; all are turned into BIO. `auto` is `bio`, or the scheme whose
            letters the file has.
        delimiter: what separates columns; None is a tab or runs of spaces.

    Raises:
        DataError: a tag of another form, an I- tag that follows neither B- nor I- of its type (bio),
            a line with fewer or more columns than the first, a column that no line has; each with its line.
    """
    sentences = list(_sentences(path, delimiter, tag_column))
    for _, where, row in sentences[0][:1] if sentences else ():
        for name, column in (("word_column", word_column), ("tag_column", tag_column)):
            if column is not None and not -len(row) <= column < len(row):
                expected = f"{-len(row)} to {len(row) - 1} in a line of {counted(len(row), 'column')}"
                do = "count columns from 0" if len(row) > 1 else _DELIMITER
                raise DataError(where, f"{column} as data.{name}", expected, do)
        if tag_column is not None and len(row) == 1:
            raise DataError(where, f"one column, {row[0]!r}", "a word and its tag in columns", _DELIMITER)
    if tagging == AUTO:
        tagging = "bio"
        if tag_column is not None:
            cells = (row[tag_column] for sentence in sentences for *_, row in sentence if len(row) > 1)
            tagging = scheme_of(cells, str(path))

    def record(sentence: list[_Line]) -> TaggedWords:
        words, tags, places = [], [], []
        problems = []
        for _, where, row in sentence:
            if len(row) != len(sentences[0][0][2]):
                expected = f"{len(sentences[0][0][2])}, as in the first line"
                problems.append(
                    Problem(where, counted(len(row), "column"), expected, "give every word the same columns")
                )
                continue
            try:
                words.append(_cell(row, word_column, where))
                tags += [] if tag_column is None else [_cell(row, tag_column, where)]
                places.append(where)
            except DataError as error:
                problems += error.problems
        if not problems and tag_column is not None:
            tags, problems = as_bio(tags, tagging, places)
        if problems:
            raise DataError.several(problems)
        return TaggedWords(f"{path.name}:{sentence[0][0]}", tuple(words), tuple(tags))

    return each(sentences, record)


def _sentences(path: Path, delimiter: str | None, tag_column: int | None) -> Iterator[list[_Line]]:
    sentence: list[_Line] = []
    width = 0
    for number, where, text in text_lines(path):
        # Only these characters are space: words may hold any other.
        row = _cut(text.strip(" \t\r\f"), delimiter)
        if row and row[0].startswith("#") and _is_comment(row, width, tag_column):
            continue
        if row and row[0] != "-DOCSTART-":
            sentence.append((number, where, row))
            width = width or len(row)
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _is_comment(row: Sequence[str], width: int, tag_column: int | None) -> bool:
    """Whether a line that begins with # is no word: words of tweets begin so too, but have a tag."""
    if width and len(row) != width:
        return True
    if tag_column is None:
        return not width and len(row) > 1
    return not -len(row) <= tag_column < len(row) or not _TAG.fullmatch(row[tag_column])


def _cut(text: str, delimiter: str | None) -> list[str]:
    if delimiter is not None:
        return [cell.strip(" ") for cell in text.split(delimiter)] if text else []
    if "\t" in text:
        return [cell.strip(" ") for cell in text.split("\t")]
    return re.split(" +", text) if text else []


def _cell(row: list[str], column: int, where: str) -> str:
    if not row[column]:
        raise DataError(where, f"an empty column {column}", "a word and its tag", "fill it in")
    return row[column]


def scheme_of(tags: Iterator[str], where: str) -> str:
    """The scheme of a file's tags by the letters in front of their types."""
    letters = {tag[0] for tag in set(tags) if _TAG.fullmatch(tag)} - {"O"}
    for name in ("bioes", "bilou"):
        if letters - set("BI") and letters <= set(_SCHEMES[name]):
            rules().notes.append(f"{where}: tags in the scheme {name.upper()}, turned into BIO")
            return name
    return "bio"


def as_bio(tags: Sequence[str], tagging: str, places: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """The tags of a sentence in BIO, and what is wrong with some of them.

    Args:
        tags: as the file has them.
        tagging: a key of the schemes.
        places: of each tag, for messages.
    """
    made: list[str] = []
    problems: list[Problem] = []
    before = "O"
    for tag, where in zip(tags, places, strict=True):
        if not _TAG.fullmatch(tag) or (tag != "O" and tag[0] not in _SCHEMES[tagging]):
            problems.append(_unknown(tag, tagging, where))
            made.append("O")
            before = tag
            continue
        tag = _AS_BIO.get(tag[0], tag[0]) + tag[1:]
        kind = tag[2:]
        if tag.startswith("I-") and before not in (f"B-{kind}", f"I-{kind}"):
            if tagging == "iob1":
                made.append(f"B-{kind}")
                before = tag
                continue
            do = f"make it B-{kind}, or set data.tagging to iob1 if the whole file is in IOB1"
            got, expected = f"the tag {tag} after {before}", f"B-{kind} or I-{kind} before it (BIO)"
            problems.append(Problem(where, got, expected, do))
        made.append(tag)
        before = tag
    return made, problems


def _unknown(tag: str, tagging: str, where: str) -> Problem:
    do = "set data.tag_column to the tags' place"
    if _TAG.fullmatch(tag):
        scheme = "bilou" if tag[0] in "LU" else "bioes"
        do += f", or data.tagging to {scheme} if the whole file is in it"
    else:
        do += ", and write other forms of tags as B-<type>, I-<type> and O first"
    expected = "O, B-<type> or I-<type>" if tagging in ("bio", "iob1") else f"a tag of {tagging.upper()}"
    return Problem(where, f"the tag {tag!r}", expected, do)
