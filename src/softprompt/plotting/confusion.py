"""A confusion matrix as a picture."""

from collections.abc import Sequence
from typing import Any

from softprompt.plotting.fonts import numbered
from softprompt.plotting.style import Drawing, Palette

_WITH_NUMBERS, _WITH_NAMES = 20, 60
"""The largest numbers of classes at which counts in the cells, and names at the axes, are readable."""


def draw_confusion(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> bytes:
    """Draw the matrix as a PNG file: shades are shares of each row, numbers are counts.

    Args:
        counts: a row for each true label, a column for each predicted label.
        labels: the names of the labels; those that no font of this machine has are shown by their numbers.
    """
    n = len(labels)
    labels, by_number = numbered(labels)
    which = "label, by its number in confusion.json" if by_number else "label"
    shares = [[value / sum(row) if sum(row) else 0.0 for value in row] for row in counts]
    side = min(12.0, 2.8 + 0.42 * n)

    def fill(sheet: Any, _: Palette) -> None:
        panel = sheet.subplots()
        panel.grid(visible=False)
        shown = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if n <= _WITH_NAMES:
            size = 9 if n <= _WITH_NUMBERS else 5
            panel.set_xticks(range(n), labels, rotation=90, fontsize=size)
            panel.set_yticks(range(n), labels, fontsize=size)
        if n <= _WITH_NUMBERS:
            for i, row in enumerate(counts):
                for j, value in enumerate(row):
                    color = "white" if shares[i][j] > 0.5 else "black"
                    panel.text(j, i, str(value), ha="center", va="center", color=color, fontsize=8)
        panel.set_xlabel(f"predicted {which}")
        panel.set_ylabel(f"true {which}")
        sheet.colorbar(shown, ax=panel, shrink=0.8, label="share of the class")

    return Drawing(fill, side * 0.92, side).png(dpi=150)
