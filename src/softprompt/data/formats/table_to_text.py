"""Attributes or triples and their texts: E2E NLG in CSV, WebNLG 2017 in XML, DART in JSON."""

import re
import warnings
import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path
from typing import Any

from softprompt.data.formats.columns import grouped
from softprompt.data.parsing import csv_rows, each, field, json_file, words
from softprompt.data.records import Record
from softprompt.errors import DataError, kind_of
from softprompt.untrusted import Unreadable, read_bytes

_ATTRIBUTE = re.compile(r"([^\[\],]++)\[([^\[\]]*+)\]\s*+(?:,(?=.)|$)")
"""A name and a value; the possessive quantifiers make it linear in the text's length."""

SEEN_CATEGORIES = frozenset(
    "Airport Astronaut Building City ComicsCharacter Food Monument SportsTeam University WrittenWork".split()
)
"""The categories of the challenge's training set; every other category is unseen."""


def read_e2e(path: Path) -> list[Record]:
    """One record per distinct meaning representation, in file order, with all its references.

    Source: tuetschek/e2e-dataset for the files; Prefix-Tuning (2101.00190), section 4.1 and its
    code, for the form `field : value | field : value`. Deviation: the paper's own preprocessed
    files rename some fields (`Type`, `price`) and tokenise the texts; here the published names,
    values, order and texts stand.
    """

    def pair(line: int, where: str, row: list[str]) -> tuple[int, str, str]:
        mr, ref = row
        return line, linearize(words(mr, "mr", where), where), words(ref, "ref", where).strip()

    # Rows of one representation need not stand together.
    return grouped(path, csv_rows(path, ("mr", "ref"), pair))


def linearize(mr: str, where: str = "mr") -> str:
    """`name[Blue Spice], area[riverside]` as `name : Blue Spice | area : riverside`."""
    place, parts = 0, []
    while place < len(mr):
        match = _ATTRIBUTE.match(mr, place)
        name, value = ("", "") if match is None else (match[1].strip(), match[2].strip())
        if match is None or not name or not value:
            raise DataError(where, repr(mr[place:]), "attributes such as name[Blue Spice], area[riverside]")
        parts.append(f"{name} : {value}")
        place = match.end()
    return " | ".join(parts)


def read_webnlg(path: Path, language: str | None = None) -> list[Record]:
    """One record per entry, from one XML file or from all below a folder in the order of their names.

    Source: WebNLG challenges 2017 and 2020 for the files; Prefix-Tuning (2101.00190) and its code for the
    form ` | subject : relation : object | ...` over the modified triples, in file order, with the
    bar in front. References are the lexicalisations whose comment is `good`, in every split alike;
    an entry that has none of them is left out (5 in train, 1 in dev, none in test, where all are
    good and the rule therefore agrees with the official evaluation).

    Returns:
        Records tagged `category` and `seen` (`seen` or `unseen`).
    """
    if path.is_dir():
        files = sorted(path.rglob("*.xml"), key=lambda file: file.relative_to(path).as_posix())
        if not files:
            raise DataError(str(path), "a folder without XML files", "WebNLG's files (*.xml)")
    else:
        files = [path]
    roots = [(file, _webnlg_root(file)) for file in files]
    texts = [text for _, root in roots for text in root.iter("lex")]
    languages = sorted({text.get("lang") or "en" for text in texts})
    if language is None and len(languages) > 1:
        got = f"texts in several languages ({', '.join(languages)})"
        raise DataError(str(path), got, "one of them", f"name it, e.g. data.language: {languages[0]}")
    if language is not None and language not in languages:
        got, do = f"no text in '{language}'", f"choose one of {', '.join(languages)}"
        raise DataError(str(path), got, "texts in data.language", do)
    judged = any(text.get("comment") == "good" for text in texts)
    entries = ((file, entry) for file, root in roots for entry in root.iter("entry"))
    make = partial(_webnlg_record, judged=judged, language=language)
    records = [record for record in each(entries, make) if record is not None]
    if not records:
        raise DataError(str(path), 'no lexicalisation with comment="good"', "WebNLG's files")
    return records


def _webnlg_record(
    place: tuple[Path, ElementTree.Element], judged: bool, language: str | None
) -> Record | None:
    """The record of an entry; None where none of its texts is good, or in the language."""
    path, entry = place
    category, size, eid = (entry.get(name, "?") for name in ("category", "size", "eid"))
    where = f"{path}, entry {eid} ({category}, {size} triples)"
    if "?" in (category, eid):
        raise DataError(where, "an entry without category or eid", "an entry with both attributes")
    texts = entry.findall("lex")
    if not texts:
        raise DataError(where, "no lexicalisation", "at least one <lex>", "take the file with references")
    good = tuple(
        words(lex.text or "", "lex", where).strip()
        for lex in texts
        if (lex.get("comment") == "good" if judged else not lex.get("comment"))
        and (language is None or (lex.get("lang") or "en") == language)
    )
    triples = [_webnlg_triple(node.text or "", where) for node in entry.iterfind("modifiedtripleset/mtriple")]
    if not triples:
        raise DataError(where, "no triple", "at least one <mtriple>")
    if not good:
        return None
    seen = "seen" if category in SEEN_CATEGORIES else "unseen"
    source = "".join(f" | {triple}" for triple in triples)
    return Record(f"{category}/{size}/{eid}", source, good, {"category": category, "seen": seen})


def _webnlg_root(path: Path) -> ElementTree.Element:
    try:
        content = read_bytes(path)
    except Unreadable as error:
        raise DataError(str(path), str(error), "a file that can be read") from None
    if not content:
        raise DataError(str(path), "an empty file", "WebNLG's XML")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of codecs that an XML declaration may name
            return ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        line, column = error.position
        got = f"malformed XML ({str(error).partition(':')[0]}, column {column})"
        raise DataError(f"{path}, line {line}", got, "WebNLG's XML in UTF-8") from None
    except (LookupError, ValueError) as error:
        raise DataError(str(path), f"malformed XML ({error})", "WebNLG's XML in UTF-8") from None


def _webnlg_triple(text: str, where: str) -> str:
    parts = [part.strip() for part in text.split(" | ")]
    if len(parts) != 3 or not all(parts):
        raise DataError(where, f"the triple {text!r}", "subject | relation | object")
    return " : ".join(parts)


def read_dart(path: Path) -> list[Record]:
    """One record per item of the list, with the text of every annotation as a reference.

    Source: Yale-LILY/dart for the files; Prefix-Tuning (2101.00190) and its code for the form
    `subject : relation : object | ...`, relations in lower case, no bar in front.
    """
    items = json_file(path, "DART's list of objects")
    if not isinstance(items, list) or not items:
        got = "an empty list" if items == [] else kind_of(items)
        raise DataError(str(path), got, "DART's list of objects")
    return each(enumerate(items, start=1), partial(_dart_record, path))


def _dart_record(path: Path, numbered: tuple[int, Any]) -> Record:
    number, item = numbered
    where = f"{path}, item {number}"
    if not isinstance(item, dict):
        raise DataError(where, kind_of(item), "an object with tripleset and annotations")
    triples = field(item, "tripleset", where)
    if not isinstance(triples, list) or not triples:
        raise DataError(where, f"tripleset {triples!r}", "at least one [subject, relation, object]")
    annotations = field(item, "annotations", where)
    if not isinstance(annotations, list) or not annotations:
        raise DataError(where, f"annotations {annotations!r}", "at least one annotation")
    source = " | ".join(_dart_triple(triple, where) for triple in triples)
    return Record(
        f"{path.name}:{number}", source, tuple(_dart_text(annotation, where) for annotation in annotations)
    )


def _dart_triple(triple: Any, where: str) -> str:
    if not (isinstance(triple, list) and len(triple) == 3 and all(isinstance(p, str) and p for p in triple)):
        raise DataError(where, f"the triple {triple!r}", "[subject, relation, object], three texts")
    subject, relation, value = triple
    return words(f"{subject} : {relation.lower()} : {value}", "tripleset", where)


def _dart_text(annotation: Any, where: str) -> str:
    if not isinstance(annotation, dict):
        raise DataError(where, f"the annotation {annotation!r}", "an object with source and text")
    return words(field(annotation, "text", where), "text", where).strip()
