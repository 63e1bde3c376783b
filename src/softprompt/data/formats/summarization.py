"""SciTLDR: scientific texts and their one-sentence summaries, in JSON lines."""

from pathlib import Path
from typing import Any

from softprompt.data.parsing import field, json_objects, several, words
from softprompt.data.records import Record
from softprompt.errors import DataError, kind_of


def read_scitldr(path: Path) -> list[Record]:
    """One record per paper: its sentences joined by spaces, with every summary as a reference.

    Source: allenai/scitldr for the files. Runs of white space, which the published texts carry at
    their ends, become single spaces.
    """

    def record(line: int, where: str, item: dict[str, Any]) -> Record:
        sentences = field(item, "source", where)
        if not isinstance(sentences, list):
            raise DataError(where, f"{kind_of(sentences)} in 'source'", "a list of sentences")
        for sentence in sentences:
            if not isinstance(sentence, str):
                raise DataError(where, f"{kind_of(sentence)} among the sentences of 'source'", "texts alone")
        # Some published papers hold blank sentences, so only the whole must say something.
        source = words(" ".join(" ".join(sentences).split()), "source", where)
        summaries = several(field(item, "target", where), "target", where)
        targets = tuple(" ".join(summary.split()) for summary in summaries)
        return Record(f"{path.name}:{line}", source, targets)

    return json_objects(path, record)
