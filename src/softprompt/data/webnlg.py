"""WebNLG 2017: sets of triples and their texts, in XML."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from softprompt.data.files import words
from softprompt.data.records import Record
from softprompt.errors import DataError, system_says

SEEN_CATEGORIES = frozenset(
    "Airport Astronaut Building City ComicsCharacter Food Monument SportsTeam University WrittenWork".split()
)
"""The categories of the challenge's training set; every other category is unseen."""


def read_webnlg(path: Path) -> list[Record]:
    """One record per entry, from one XML file or from all below a folder in the order of their names.

    Source: WebNLG challenge 2017 for the files; Prefix-Tuning (2101.00190) and its code for the
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
    records = [record for file in files for record in _records(file)]
    if not records:
        raise DataError(str(path), 'no lexicalisation with comment="good"', "WebNLG 2017's files")
    return records


def _records(path: Path) -> Iterator[Record]:
    for entry in _parse(path).iter("entry"):
        category, size, eid = (entry.get(name, "?") for name in ("category", "size", "eid"))
        where = f"{path}, entry {eid} ({category}, {size} triples)"
        if "?" in (category, eid):
            raise DataError(where, "an entry without category or eid", "an entry with both attributes")
        texts = entry.findall("lex")
        if not texts:
            raise DataError(where, "no lexicalisation", "at least one <lex>", "take the file with references")
        good = tuple(
            words(lex.text or "", "lex", where).strip() for lex in texts if lex.get("comment") == "good"
        )
        triples = [_triple(node.text or "", where) for node in entry.iterfind("modifiedtripleset/mtriple")]
        if not triples:
            raise DataError(where, "no triple", "at least one <mtriple>")
        if good:
            seen = "seen" if category in SEEN_CATEGORIES else "unseen"
            source = "".join(f" | {triple}" for triple in triples)
            yield Record(f"{category}/{size}/{eid}", source, good, {"category": category, "seen": seen})


def _parse(path: Path) -> ElementTree.Element:
    try:
        if path.stat().st_size == 0:
            raise DataError(str(path), "an empty file", "WebNLG's XML")
        return ElementTree.parse(path).getroot()
    except OSError as error:
        raise DataError(str(path), system_says(error), "a file that can be read") from None
    except ElementTree.ParseError as error:
        line, column = error.position
        got = f"malformed XML ({str(error).partition(':')[0]}, column {column})"
        raise DataError(f"{path}, line {line}", got, "WebNLG's XML in UTF-8") from None
    except (LookupError, ValueError) as error:
        raise DataError(str(path), f"malformed XML ({error})", "WebNLG's XML in UTF-8") from None


def _triple(text: str, where: str) -> str:
    parts = [part.strip() for part in text.split(" | ")]
    if len(parts) != 3 or not all(parts):
        raise DataError(where, f"the triple {text!r}", "subject | relation | object")
    return " : ".join(parts)
