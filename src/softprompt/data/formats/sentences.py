"""SST-2 and TREC: single sentences with a label, a line each."""

from pathlib import Path

from softprompt.data.parsing import each, text_lines, tsv_rows, words
from softprompt.data.records import LabelledText
from softprompt.errors import DataError, nearest

SST2_LABELS = ("negative", "positive")

TREC_FINE_LABELS = tuple(
    f"{coarse}:{fine}"
    for coarse, several in (
        ("ABBR", "abb exp"),
        ("DESC", "def desc manner reason"),
        (
            "ENTY",
            "animal body color cremat currency dismed event food instru lang letter other plant product "
            "religion sport substance symbol techmeth termeq veh word",
        ),
        ("HUM", "desc gr ind title"),
        ("LOC", "city country mount other state"),
        ("NUM", "code count date dist money ord other perc period speed temp volsize weight"),
    )
    for fine in several.split()
)
TREC_LABELS = tuple(dict.fromkeys(label.partition(":")[0] for label in TREC_FINE_LABELS))


def read_sst2(path: Path) -> list[LabelledText]:
    """One record per line `sentence<TAB>label`, 0 for negative and 1 for positive.

    Source: the Stanford Sentiment Treebank's binary, sentence-level task. GLUE's own files, which
    have a header, are read as `labelled_tsv`.
    """

    def record(line: int, where: str, row: list[str]) -> LabelledText:
        text, label = row
        if label not in ("0", "1"):
            raise DataError(where, f"the label {label!r}", "0 (negative) or 1 (positive)", _header(label))
        return LabelledText(f"{path.name}:{line}", words(text, "text", where), SST2_LABELS[int(label)])

    return tsv_rows(path, (0, 1), record)


def read_trec(path: Path) -> list[LabelledText]:
    """One record per line `COARSE:fine question`, labelled with the coarse class (6).

    Source: the TREC question classification data of Li and Roth, in Latin-1 as published.
    """
    return [LabelledText(name, text, fine.partition(":")[0]) for name, text, fine in _trec(path)]


def read_trec_fine(path: Path) -> list[LabelledText]:
    """The same file with the fine class (50) as label, such as `LOC:city`."""
    return [LabelledText(name, text, fine) for name, text, fine in _trec(path)]


def _trec(path: Path) -> list[tuple[str, str, str]]:

    def row(line: tuple[int, str, str]) -> tuple[str, str, str]:
        number, where, whole = line
        fine, _, text = whole.strip().partition(" ")
        if fine not in TREC_FINE_LABELS:
            do = nearest(fine, TREC_FINE_LABELS)
            raise DataError(where, f"the label {fine!r}", "one of TREC's 50 classes, e.g. LOC:city", do)
        return f"{path.name}:{number}", words(text.strip(), "question", where), fine

    return each((line for line in text_lines(path, "latin-1") if line[2].strip()), row)


def _header(label: str) -> str:
    return "read a file with a header as labelled_tsv" if label == "label" else ""
