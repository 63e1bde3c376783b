"""The figure of a study along an axis: a measure against data size, length, depth."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from softprompt.experiments.measures import label
from softprompt.experiments.reporting import canvas
from softprompt.experiments.reporting.canvas import LIGHT, Figure
from softprompt.experiments.results import CellResult, StudyResult
from softprompt.experiments.settings import labelled

_DECADE = 10
"""Values that span more than this are drawn on a logarithmic axis."""


def numbers_of(result: StudyResult) -> list[float] | None:
    """Where the rows lie on their axis; None where they are no different numbers."""
    vary = result.grid.settings.vary
    if vary is None:
        return None
    found = [_number(*labelled(value)) for value in vary.values]
    numbers = [value for value in found if value is not None]
    return numbers if len(set(numbers)) == len(found) > 1 else None


def draw_curve(result: StudyResult) -> Figure | None:
    """Mean, standard deviation and single runs along the axis, a line per column and a panel per measure.

    Returns:
        None without an axis or a value on it.
    """
    grid = result.grid
    if grid.settings.vary is None or not any(cell.values for cell in result.cells):
        return None
    measures = list(dict.fromkeys(m for cell in result.cells for m in cell.cell.metrics))
    numbers = numbers_of(result)
    at = numbers if numbers is not None else [float(i) for i in range(len(grid.rows))]
    is_log = numbers is not None and min(numbers) > 0 and max(numbers) / min(numbers) > _DECADE
    names = [*grid.columns, *(cell.cell.row for cell in result.references)]
    if result.chance:
        names.append("chance")

    def draw(sheet: Any) -> None:
        handles: dict[str, Any] = {}
        found = canvas.panels(sheet, len(measures), [""] * len(measures), share_rows=False)
        for panel, measure in zip(found, measures, strict=True):
            for i, column in enumerate(grid.columns):
                cells = result.column(column)
                if measure in cells[0].cell.metrics:
                    handles[column] = _line(panel, i, at, cells, measure)
            handles |= _levels(panel, result, measure)
            if is_log:
                panel.set_xscale("log")
            panel.minorticks_off()
            panel.set_xticks(*_ticks(at, grid.rows, is_log, 36 // min(len(measures), 2)))
            panel.set_xlabel(grid.axis)
            panel.set_ylabel(label(measure))
        canvas.legend(sheet, list(handles.values()), list(handles))

    rows = -(-len(measures) // 2)
    title = f"{canvas.named(measures)} against {grid.axis}"
    several = any(len(cell.values) > 1 for cell in result.cells)
    caption = "Mean over the seeds with one standard deviation; dots are single runs." if several else ""
    if is_log:
        caption += " The horizontal axis is logarithmic."
    lines = ", ".join(filter(None, grid.columns))
    alt = (
        f"Lines of {title}"
        + (f" for {lines}" if lines else "")
        + ". The numbers are in the table of results."
    )
    height = 2.9 * rows + canvas.legend_height(names)
    return canvas.drawn("curve", title, caption.strip(), alt, height, draw)


def _line(panel: Any, i: int, at: Sequence[float], cells: Sequence[CellResult], measure: str) -> Any:
    values = [cell.values_of(measure) for cell in cells]
    points = sorted((x, some) for x, some in zip(at, values, strict=True) if some)
    xs, means = [x for x, _ in points], [statistics.fmean(some) for _, some in points]
    stds = [statistics.stdev(some) if len(some) > 1 else 0.0 for _, some in points]
    look = canvas.series(i)
    (line,) = panel.plot(xs, means, **look)
    if any(stds):
        low, high = zip(*((m - s, m + s) for m, s in zip(means, stds, strict=True)), strict=True)
        panel.fill_between(xs, low, high, color=look["color"], alpha=0.15, linewidth=0)
        dots = [(x, value) for x, some in points for value in some]
        panel.plot(
            [x for x, _ in dots], [v for _, v in dots], ".", color=look["color"], markersize=4, alpha=0.5
        )
    return line


def _levels(panel: Any, result: StudyResult, measure: str) -> dict[str, Any]:
    """Horizontal lines: references, and chance where it is one number."""
    found = {}
    for i, cell in enumerate(result.references):
        if values := cell.values_of(measure):
            dash = ("--", ":", "-.")[i % 3]
            name = cell.cell.row
            found[name] = panel.axhline(
                statistics.fmean(values), color=LIGHT.muted, linestyle=dash, linewidth=1.2
            )
    levels = {level[measure] for level in result.chance.values() if measure in level}
    if len(levels) == 1:
        found["chance"] = panel.axhline(levels.pop(), color=LIGHT.ink, linestyle=(0, (1, 3)), linewidth=1)
    return found


def _ticks(
    at: Sequence[float], names: Sequence[str], is_log: bool, room: int
) -> tuple[list[float], list[str]]:
    """The values that can be written under the axis without touching.

    Args:
        room: letters that fit beside each other.
    """
    places = [math.log(x) if is_log else x for x in at]
    low, width = min(places), max(places) - min(places) or 1.0
    kept: list[tuple[float, str]] = []
    free = -math.inf
    # The ends are what a reader looks for first.
    last = (max(zip(places, names, strict=True))[0] - low) / width * room
    for place, x, name in sorted(zip(places, at, names, strict=True)):
        middle, half = (place - low) / width * room, len(name) / 2 + 0.7
        is_last = place == max(places)
        crowded = not is_last and middle + half > last - max(len(n) for n in names) / 2 - 0.7
        if is_last or (middle - half >= free and not crowded):
            kept.append((x, name))
            free = middle + half
    return [x for x, _ in kept], [name for _, name in kept]


def _number(text: str, value: Any) -> float | None:
    for one in (text, value):
        try:
            return None if isinstance(one, (bool, list, dict)) or one is None else float(one)
        except ValueError:
            continue
    return None
