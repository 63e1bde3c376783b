"""Box plots over the seeds, and bars of means."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from softprompt.experiments.measures import label
from softprompt.experiments.reporting import canvas
from softprompt.experiments.reporting.canvas import LIGHT, Figure
from softprompt.experiments.results import CellResult, StudyResult

_MOST_DOTS = 20


def five_numbers(values: Sequence[float]) -> tuple[float, float, float, float, float]:
    """Minimum, lower quartile, median, upper quartile, maximum (quartiles between values by their place)."""
    low, first, middle, third, high = np.percentile(np.asarray(values, dtype=float), [0, 25, 50, 75, 100])
    return float(low), float(first), float(middle), float(third), float(high)


def draw_boxes(result: StudyResult) -> Figure | None:
    """A box for each cell with two runs or more: along the axis, or row by row with a panel for each column.

    Returns:
        None where no cell has two values.
    """
    if not any(len(cell.values) > 1 for cell in result.cells):
        return None
    caption = (
        "Boxes reach from the lower to the upper quartile over the runs of a cell, the line is the median, "
        "whiskers end at minimum and maximum; dots are single runs."
    )
    if result.grid.settings.vary is not None:
        return _boxes_along(result, caption)
    return _by_rows(result, "box", "over the seeds", caption, _box_across, from_zero=False)


def draw_bars(result: StudyResult) -> Figure | None:
    """A bar for each cell, row by row with a panel for each column.

    Returns:
        None where no run is done.
    """
    if not any(cell.values for cell in result.cells):
        return None
    several = any(len(cell.values) > 1 for cell in result.cells)
    spread = "Means over the runs of a cell, with one standard deviation; dots are single runs."
    caption = spread if several else "One run each."
    return _by_rows(result, "bars", "by row", caption, _bar, from_zero=True)


def _by_rows(
    result: StudyResult, name: str, what: str, caption: str, draw_cell: Any, from_zero: bool
) -> Figure:
    columns = result.grid.columns
    cells = [
        [*result.column(column), *(result.references if len(columns) == 1 else ())] for column in columns
    ]
    names = [canvas.wrapped(cell.cell.row, 22 if len(columns) > 1 else 30) for cell in cells[0]]
    n_lines = sum(name.count("\n") + 1 for name in names)

    def draw(sheet: Any) -> None:
        for panel, column, some in zip(
            canvas.panels(sheet, len(columns), columns, share_rows=True), columns, cells, strict=True
        ):
            for i, cell in enumerate(some):
                if cell.values:
                    draw_cell(panel, i, cell)
            measure = some[0].cell.metric
            _level(panel, result, column, measure)
            panel.set_yticks(range(len(names)), names)
            panel.set_ylim(len(names) - 0.4, -0.6)
            panel.grid(axis="y", visible=False)
            panel.tick_params(axis="y", length=0)
            panel.set_xlabel(label(measure))
            low = min((min(cell.values) for cell in some if cell.values), default=0.0)
            if from_zero and low >= 0:
                panel.set_xlim(left=0)

    measures = dict.fromkeys(cell.cell.metric for cell in result.cells)
    title = f"{canvas.named(measures)} {what}"
    if any(result.chance.values()):
        caption += " The dotted line is chance."
    alt = f"{title} for {len(names)} rows" + (f" in {len(columns)} columns" if len(columns) > 1 else "")
    height = (0.6 + 0.19 * max(n_lines, 1.6 * len(names))) * -(-len(columns) // 2) + 0.3
    return canvas.drawn(
        name, title, caption, f"{alt}. The numbers are in the table of results.", height, draw
    )


def _boxes_along(result: StudyResult, caption: str) -> Figure:
    """Groups of boxes side by side, a group for each value of the axis, a box for each column."""
    grid = result.grid
    measures = list(dict.fromkeys(cell.cell.metric for cell in result.cells))

    def draw(sheet: Any) -> None:
        handles: dict[str, Any] = {}
        found = canvas.panels(sheet, len(measures), [""] * len(measures), share_rows=False)
        for panel, measure in zip(found, measures, strict=True):
            columns = [c for c in grid.columns if result.column(c)[0].cell.metric == measure]
            width = 0.8 / len(columns)
            for i, column in enumerate(columns):
                color = canvas.series(list(grid.columns).index(column))["color"]
                for at, cell in enumerate(result.column(column)):
                    if cell.values:
                        place = at + (i - (len(columns) - 1) / 2) * width
                        handles[column] = _box(panel, place, cell.values, 0.8 * width, color, upright=True)
            for reference in result.references:
                if values := reference.values_of(measure):
                    line = panel.axhline(statistics.fmean(values), color=LIGHT.muted, linestyle="--")
                    handles[reference.cell.row] = line
            panel.set_xticks(range(len(grid.rows)), [canvas.wrapped(row, 12) for row in grid.rows])
            panel.grid(axis="x", visible=False)
            panel.set_xlabel(grid.axis)
            panel.set_ylabel(label(measure))
        canvas.legend(sheet, list(handles.values()), list(handles))

    title = f"{canvas.named(measures)} over the seeds, by {grid.axis}"
    names = [*grid.columns, *(cell.cell.row for cell in result.references)]
    height = 2.9 * -(-len(measures) // 2) + canvas.legend_height(names)
    alt = f"Box plots of {title}. The numbers are in the table of results."
    return canvas.drawn("box", title, caption, alt, height, draw)


def _box_across(panel: Any, i: int, cell: CellResult) -> None:
    _box(panel, i, cell.values, 0.56, canvas.series(0)["color"], upright=False)


def _box(panel: Any, at: float, values: Sequence[float], width: float, color: str, upright: bool) -> Any:
    """A box with whiskers to the ends; returns what stands for it in a legend."""
    from matplotlib.patches import Rectangle

    low, first, middle, third, high = five_numbers(values)
    half = width / 2

    def line(along: Sequence[float], across: Sequence[float], **look: Any) -> None:
        panel.plot(*((across, along) if upright else (along, across)), color=color, **look)

    x, y, dx, dy = (at - half, first, width, third - first)
    if not upright:
        x, y, dx, dy = y, x, dy, dx
    filled = Rectangle((x, y), dx, dy, facecolor=color, alpha=0.25, linewidth=0)
    panel.add_patch(filled)
    line([first, third, third, first, first], [at - half, at - half, at + half, at + half, at - half], lw=1)
    for end, edge in ((low, first), (high, third)):
        line([edge, end], [at, at], lw=1)
        line([end, end], [at - half / 2, at + half / 2], lw=1)
    line([middle, middle], [at - half, at + half], lw=2.2, solid_capstyle="butt")
    if len(values) <= _MOST_DOTS:
        line(list(values), [at] * len(values), marker="o", markersize=3, lw=0, alpha=0.75)
    return filled


def _bar(panel: Any, i: int, cell: CellResult) -> None:
    mean, color = statistics.fmean(cell.values), canvas.series(0)["color"]
    panel.barh(i, mean, height=0.6, color=color, alpha=0.45)
    if len(cell.values) > 1:
        std = statistics.stdev(cell.values)
        panel.plot([mean - std, mean + std], [i, i], color=color, lw=1.5)
        panel.plot(cell.values, [i] * len(cell.values), "o", color=color, markersize=3)


def _level(panel: Any, result: StudyResult, column: str, measure: str) -> None:
    level = result.chance.get(column, {}).get(measure)
    if level is not None:
        panel.axvline(level, color=LIGHT.ink, linestyle=(0, (1, 3)), linewidth=1)
