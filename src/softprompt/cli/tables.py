"""Lines, tables of scores and sizes, as commands print them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from softprompt.terminal import print_line

if TYPE_CHECKING:
    from rich.console import Console

    from softprompt.tasks import ScoreRow


def print_scores(console: "Console", title: str, rows: Sequence["ScoreRow"], metrics: Sequence[str]) -> None:
    """Print a table with a row per group, then the reasons for missing metrics."""
    table = Table()
    table.add_column("records")
    _add_metrics(table, metrics)
    for row in rows:
        table.add_row(row["group"], *_values(row, metrics))
    _print(console, title, table, rows)


def print_parts(
    console: "Console",
    title: str,
    parts: Mapping[str, Mapping[str, Any]],
    metrics: Mapping[str, Sequence[str]],
) -> None:
    """Print one table for tasks trained together: a row per part and group, with the sizes of its prompt.

    Args:
        parts: the content of each part's `result.json`.
        metrics: of each part.
    """
    names = list(dict.fromkeys(name for some in metrics.values() for name in some))
    groups = any(len(facts["scores"]) > 1 for facts in parts.values())
    table = Table()
    table.add_column("part")
    if groups:
        table.add_column("records")
    _add_metrics(table, names)
    for column in ("trained\nparameters", "stored\nparameters"):
        table.add_column(column, justify="right")
    for part, facts in parts.items():
        sizes = [f"{facts['counts'][f'{kind}_parameters']:,}" for kind in ("trained", "stored")]
        rows: Sequence[ScoreRow] = facts["scores"] or [{"group": "-", "values": {}, "notes": []}]
        for i, row in enumerate(rows):
            first = i == 0
            table.add_row(
                part if first else "", *([row["group"]] if groups else []), *_values(row, names),
                *(sizes if first else ["", ""]),
            )  # fmt: skip
    _print(console, title, table, [row for facts in parts.values() for row in facts["scores"]])


def _add_metrics(table: Table, metrics: Sequence[str]) -> None:
    from softprompt.metrics import higher_is_better, label_of

    for name in metrics:
        lower = "" if higher_is_better(name) else "\n(lower is better)"
        table.add_column(label_of(name) + lower, justify="right")


def _values(row: "ScoreRow", metrics: Sequence[str]) -> list[str]:
    values = row["values"]
    return [f"{values[name]:.2f}" if name in values else "-" for name in metrics]


def _print(console: "Console", title: str, table: Table, rows: Sequence["ScoreRow"]) -> None:
    print_line(console, title)
    console.print(table, markup=False, emoji=False)
    for note in dict.fromkeys(note for row in rows for note in row["notes"]):
        print_line(console, f"note: {note}")


def size(n_bytes: int) -> str:
    """Bytes in a unit that keeps the number short, in powers of ten."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.3g} {unit}"
    return f"{n_bytes} bytes"


def share(part: float, whole: float) -> str:
    """A share in percent with two significant digits."""
    return f"{100 * part / whole:.2g}%"
