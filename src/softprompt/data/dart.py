"""DART: sets of triples and their texts, in JSON."""

from pathlib import Path
from typing import Any

from softprompt.data.files import field, json_file, words
from softprompt.data.records import Record
from softprompt.errors import DataError, kind_of


def read_dart(path: Path) -> list[Record]:
    """One record per item of the list, with the text of every annotation as a reference.

    Source: Yale-LILY/dart for the files; Prefix-Tuning (2101.00190) and its code for the form
    `subject : relation : object | ...`, relations in lower case, no bar in front.
    """
    items = json_file(path, "DART's list of objects")
    if not isinstance(items, list) or not items:
        got = "an empty list" if items == [] else kind_of(items)
        raise DataError(str(path), got, "DART's list of objects")
    return [_record(item, f"{path.name}:{n}", f"{path}, item {n}") for n, item in enumerate(items, start=1)]


def _record(item: Any, name: str, where: str) -> Record:
    if not isinstance(item, dict):
        raise DataError(where, kind_of(item), "an object with tripleset and annotations")
    triples = field(item, "tripleset", where)
    if not isinstance(triples, list) or not triples:
        raise DataError(where, f"tripleset {triples!r}", "at least one [subject, relation, object]")
    annotations = field(item, "annotations", where)
    if not isinstance(annotations, list) or not annotations:
        raise DataError(where, f"annotations {annotations!r}", "at least one annotation")
    source = " | ".join(_triple(triple, where) for triple in triples)
    return Record(name, source, tuple(_text(annotation, where) for annotation in annotations))


def _triple(triple: Any, where: str) -> str:
    if not (isinstance(triple, list) and len(triple) == 3 and all(isinstance(p, str) and p for p in triple)):
        raise DataError(where, f"the triple {triple!r}", "[subject, relation, object], three texts")
    subject, relation, value = triple
    return words(f"{subject} : {relation.lower()} : {value}", "tripleset", where)


def _text(annotation: Any, where: str) -> str:
    if not isinstance(annotation, dict):
        raise DataError(where, f"the annotation {annotation!r}", "an object with source and text")
    return words(field(annotation, "text", where), "text", where).strip()
