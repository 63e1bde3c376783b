"""E2E NLG: restaurants as attribute lists, in CSV files with the columns `mr` and `ref`."""

import re
from pathlib import Path

from softprompt.data.files import csv_rows, words
from softprompt.data.records import Record
from softprompt.errors import DataError

_ATTRIBUTE = re.compile(r"\s*([^\[\],]+?)\s*\[\s*([^\[\]]*?)\s*\]\s*(?:,(?=.)|$)")


def read_e2e(path: Path) -> list[Record]:
    """One record per distinct meaning representation, in file order, with all its references.

    Source: tuetschek/e2e-dataset for the files; Prefix-Tuning (2101.00190), section 4.1 and its
    code, for the form `field : value | field : value`. Deviation: the paper's own preprocessed
    files rename some fields (`Type`, `price`) and tokenise the texts; here the published names,
    values, order and texts stand.
    """
    # Rows of one representation need not stand together, so they are collected by it.
    gathered: dict[str, tuple[int, list[str]]] = {}
    for line, (mr, ref) in csv_rows(path, ("mr", "ref")):
        where = f"{path}, line {line}"
        target = words(ref, "ref", where).strip()
        gathered.setdefault(linearize(words(mr, "mr", where), where), (line, []))[1].append(target)
    return [Record(f"{path.name}:{line}", source, tuple(refs)) for source, (line, refs) in gathered.items()]


def linearize(mr: str, where: str = "mr") -> str:
    """`name[Blue Spice], area[riverside]` as `name : Blue Spice | area : riverside`."""
    place, parts = 0, []
    while place < len(mr):
        match = _ATTRIBUTE.match(mr, place)
        if match is None or not match[2]:
            raise DataError(where, repr(mr[place:]), "attributes such as name[Blue Spice], area[riverside]")
        parts.append(f"{match[1]} : {match[2]}")
        place = match.end()
    return " | ".join(parts)
