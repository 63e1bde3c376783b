"""Sentences in columns, a word and its tag a line (WNUT 2017, CoNLL 2003 and their like)."""

import re
from collections.abc import Iterator
from pathlib import Path

from softprompt.data.parsing import each, text_lines
from softprompt.data.records import TaggedWords
from softprompt.errors import DataError

_TAG = re.compile(r"O|[BI]-\S+")


_Line = tuple[int, str, list[str]]
"""A line's number, its place in messages, and its columns."""


def read_conll(path: Path, word_column: int, tag_column: int | None, tagging: str) -> list[TaggedWords]:
    """One record per sentence, named after the line it begins on, its tags in BIO.

    Source: leondz/emerging_entities_17 and CoNLL 2003 for the files. A line with a tab is cut at its
    tabs, any other at runs of spaces. Blank lines, also of white space alone (WNUT 2017's training
    file has 2,394), end a sentence, and so do `-DOCSTART-` lines, which are passed over.

    Args:
        path: the file.
        word_column: place of the words, from 0; negative counts from the end.
        tag_column: place of the tags; None leaves the words untagged.
        tagging: `bio`, or `iob1`, where an entity begins with B- only behind another one of its type;
            that is turned into BIO.

    Raises:
        DataError: a tag of another form, an I- tag that follows neither B- nor I- of its type (bio),
            a line with fewer or more columns than the first, a column that no line has; each with its line.
    """
    sentences = list(_sentences(path))
    for _, where, row in sentences[0][:1] if sentences else ():
        for name, column in (("word_column", word_column), ("tag_column", tag_column)):
            if column is not None and not -len(row) <= column < len(row):
                expected = f"{-len(row)} to {len(row) - 1} in a line of {len(row)} columns"
                raise DataError(where, f"{column} as data.{name}", expected, "count columns from 0")

    def record(sentence: list[_Line]) -> TaggedWords:
        words, tags, before = [], [], "O"
        for _, where, row in sentence:
            if len(row) != len(sentences[0][0][2]):
                expected = f"{len(sentences[0][0][2])}, as in the first line"
                raise DataError(where, f"{len(row)} columns", expected, "give every word the same columns")
            words.append(_cell(row, word_column, where))
            if tag_column is not None:
                tag = _cell(row, tag_column, where)
                tags.append(_tag(tag, before, tagging, where))
                before = tag
        return TaggedWords(f"{path.name}:{sentence[0][0]}", tuple(words), tuple(tags))

    return each(sentences, record)


def _sentences(path: Path) -> Iterator[list[_Line]]:
    sentence: list[_Line] = []
    for number, where, text in text_lines(path):
        # Only these characters are space: words may hold any other.
        row = _cut(text.strip(" \t\r\f"))
        if row and row[0] != "-DOCSTART-":
            sentence.append((number, where, row))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _cut(text: str) -> list[str]:
    if "\t" in text:
        return [cell.strip(" ") for cell in text.split("\t")]
    return re.split(" +", text) if text else []


def _cell(row: list[str], column: int, where: str) -> str:
    if not row[column]:
        raise DataError(where, f"an empty column {column}", "a word and its tag", "fill it in")
    return row[column]


def _tag(tag: str, before: str, tagging: str, where: str) -> str:
    """The tag in BIO; `before` is the tag in front, as it stands in the file."""
    if not _TAG.fullmatch(tag):
        do = "set data.tag_column to the tags' place, and turn other schemes (BIOES) into BIO first"
        raise DataError(where, f"the tag {tag!r}", "O, B-<type> or I-<type>", do)
    kind = tag[2:]
    if not tag.startswith("I-") or before in (f"B-{kind}", f"I-{kind}"):
        return tag
    if tagging == "iob1":
        return f"B-{kind}"
    do = f"make it B-{kind}, or set data.tagging to iob1 if the whole file is in IOB1"
    raise DataError(where, f"the tag {tag} after {before}", f"B-{kind} or I-{kind} before it (BIO)", do)
