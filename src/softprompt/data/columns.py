"""Any JSON-lines or CSV file with a column for the source and one for the target.

Texts are taken as they stand, white space included.
"""

from pathlib import Path

from softprompt.data.files import csv_rows, field, json_objects, several, words
from softprompt.data.records import Record


def read_jsonl(path: Path, source: str, target: str) -> list[Record]:
    """One record per line; the target is a text, or a list of texts (several references)."""
    records = []
    for line, item in json_objects(path):
        where = f"{path}, line {line}"
        text = words(field(item, source, where), source, where)
        value = field(item, target, where)
        targets = several(value, target, where) if isinstance(value, list) else (words(value, target, where),)
        records.append(Record(f"{path.name}:{line}", text, targets))
    return records


def read_csv(path: Path, source: str, target: str) -> list[Record]:
    """One record per distinct source, in order of first appearance.

    A CSV cell holds one text, so several references for a source are several rows, wherever they
    stand. The record is named after the first of them.
    """
    gathered: dict[str, tuple[int, list[str]]] = {}
    for line, (text, answer) in csv_rows(path, (source, target)):
        where = f"{path}, line {line}"
        answers = gathered.setdefault(words(text, source, where), (line, []))[1]
        answers.append(words(answer, target, where))
    return [Record(f"{path.name}:{line}", text, tuple(all_)) for text, (line, all_) in gathered.items()]
