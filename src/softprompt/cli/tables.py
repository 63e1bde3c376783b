"""Scores and sizes as people read them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from softprompt.tasks.task import ScoreRow


def print_scores(console: Console, title: str, rows: Sequence["ScoreRow"], metrics: Sequence[str]) -> None:
    """A table with a row per group, then why a metric is missing, if one is."""
    from softprompt.metrics import HIGHER_IS_BETTER, LABELS

    table = Table()
    table.add_column("records")
    for name in metrics:
        table.add_column(
            LABELS[name] + ("" if HIGHER_IS_BETTER[name] else "\n(lower is better)"), justify="right"
        )
    for row in rows:
        values = row["values"]
        table.add_row(row["group"], *(f"{values[name]:.2f}" if name in values else "-" for name in metrics))
    console.print(title, markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    for note in dict.fromkeys(note for row in rows for note in row["notes"]):
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def size(n_bytes: int) -> str:
    """Bytes in a unit that keeps the number short, in powers of ten."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.3g} {unit}"
    return f"{n_bytes} bytes"


def share(part: float, whole: float) -> str:
    """A share as percent with two digits that say something."""
    return f"{100 * part / whole:.2g}%"
