"""Quality against stored parameters, and learning curves."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from softprompt.experiments.curves import Curve, curve_of
from softprompt.experiments.measures import label
from softprompt.experiments.reporting import canvas
from softprompt.experiments.reporting.canvas import Figure
from softprompt.experiments.results import CellResult, StudyResult


def draw_parameters(result: StudyResult) -> Figure | None:
    """The measure of each cell against the numbers that its prompt stores, a panel for each column.

    Returns:
        None where all cells store as many, or nothing.
    """
    grid = result.grid
    counts = {n for cell in result.all_cells for n in cell.count("stored_parameters") if n > 0}
    if len(counts) < 2:
        return None
    # Along an axis the rows are one series: the points of a line.
    by_row = grid.settings.vary is None
    of_column = {
        column: [*result.column(column), *(result.references if len(grid.columns) == 1 else ())]
        for column in grid.columns
    }
    names = list(dict.fromkeys(cell.cell.row for cells in of_column.values() for cell in cells))

    def draw(sheet: Any) -> None:
        handles: dict[str, Any] = {}
        found = canvas.panels(sheet, len(of_column), list(of_column), share_rows=False)
        for panel, (_, cells) in zip(found, of_column.items(), strict=True):
            shown = [cell for cell in cells if cell.values and max(cell.count("stored_parameters")) > 0]
            for cell in shown:
                look = canvas.series(names.index(cell.cell.row)) | {"linestyle": "none", "markersize": 6}
                at, mean = max(cell.count("stored_parameters")), statistics.fmean(cell.values)
                (handles[cell.cell.row],) = panel.plot([at], [mean], **look)
                if len(cell.values) > 1:
                    ends = [min(cell.values), max(cell.values)]
                    panel.plot([at, at], ends, color=look["color"], lw=1, alpha=0.7)
            panel.set_xscale("log")
            _few_ticks(panel, [max(cell.count("stored_parameters")) for cell in shown])
            panel.set_xlabel("stored parameters")
            panel.set_ylabel(label(cells[0].cell.metric))
        ordered = [name for name in names if name in handles]
        canvas.legend(sheet, [handles[name] for name in ordered], ordered)

    measures = dict.fromkeys(cell.cell.metric for cell in result.cells)
    title = f"{canvas.named(measures)} against stored parameters"
    several = any(len(cell.values) > 1 for cell in result.cells)
    what = "Means of the cells, with lines from the worst to the best run" if several else "One run each"
    caption = f"{what}; the horizontal axis is logarithmic. A row that stores nothing is left out."
    what = "rows" if by_row else grid.axis
    height = 2.5 * -(-len(of_column) // 2) + canvas.legend_height(names)
    alt = f"Points of {title} for {what}: {', '.join(names)}. The numbers are in the table of results."
    return canvas.drawn("parameters", title, caption, alt, height, draw)


def draw_learning(result: StudyResult) -> Figure | None:
    """Development scores over the steps, a line per row and a panel per column and metric.

    Returns:
        None where no run was evaluated twice.
    """
    grid = result.grid
    found: dict[tuple[str, str], dict[str, list[Curve]]] = {}
    for cell in result.cells:
        for metric, curves in _curves(cell).items():
            found.setdefault((cell.cell.column, metric), {})[cell.cell.row] = curves
    found = dict(sorted(found.items(), key=lambda item: _order(result, item[0])))
    if not found:
        return None
    names = [row for row in grid.rows if any(row in lines for lines in found.values())]

    def draw(sheet: Any) -> None:
        handles: dict[str, Any] = {}
        titles = [column for column, _ in found]
        panels = canvas.panels(sheet, len(found), titles, share_rows=False)
        for panel, ((_, metric), lines) in zip(panels, found.items(), strict=True):
            for row, curves in lines.items():
                steps, means, low, high = over_runs(curves)
                look = canvas.series(grid.rows.index(row)) | {"markersize": 2.5}
                (handles[row],) = panel.plot(steps, means, **look)
                if len(curves) > 1:
                    alpha = 0.15 if len(lines) <= 4 else 0.08
                    panel.fill_between(steps, low, high, color=look["color"], alpha=alpha, linewidth=0)
            panel.set_xlabel("step")
            panel.set_ylabel(f"development {label(metric)}".replace(" (", "\n("))
            panel.xaxis.set_major_locator(_whole(4))
        ordered = [row for row in grid.rows if row in handles]
        canvas.legend(sheet, [handles[row] for row in ordered], ordered)

    measures = dict.fromkeys(label(metric, direction=False) for _, metric in found)
    title = f"Development {' and '.join(measures)} over the steps"
    several = any(len(curves) > 1 for lines in found.values() for curves in lines.values())
    caption = (
        "Means over the seeds, in a band from the lowest to the highest run, as far as every run went."
        if several
        else "One run each."
    )
    if grid.axis:
        caption += f" Lines: {grid.axis}."
    height = 2.4 * -(-len(found) // 2) + canvas.legend_height(names)
    alt = f"Lines of {title[0].lower()}{title[1:]} for {', '.join(names)}."
    return canvas.drawn("learning", title, caption, alt, height, draw)


def over_runs(curves: Sequence[Curve]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps that every run was evaluated at, with mean, lowest and highest score there."""
    of_runs = [dict(curve.points) for curve in curves]
    steps = sorted(set.intersection(*(set(one) for one in of_runs)))
    values = [[one[step] for one in of_runs] for step in steps]
    return steps, [statistics.fmean(v) for v in values], [min(v) for v in values], [max(v) for v in values]


def _curves(cell: CellResult) -> dict[str, list[Curve]]:
    """The curves of a cell by metric, without those of a single point."""
    found: dict[str, list[Curve]] = {}
    for run in cell.runs:
        curve = curve_of(run)
        if run.state in ("done", "unfinished") and len(curve.points) > 1:
            found.setdefault(curve.metric, []).append(curve)
    return {metric: curves for metric, curves in found.items() if over_runs(curves)[0]}


def _order(result: StudyResult, place: tuple[str, str]) -> tuple[int, str]:
    return result.grid.columns.index(place[0]), place[1]


def _whole(n: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=n, integer=True)


def _few_ticks(panel: Any, at: Sequence[int]) -> None:
    """Powers of ten around the points; with fewer than two of them in sight, the ends themselves."""
    if not at:
        return
    low, high = math.log10(min(at)), math.log10(max(at))
    margin = max(0.15, 0.08 * (high - low))
    panel.set_xlim(10 ** (low - margin), 10 ** (high + margin))
    first, last = math.ceil(low - margin), math.floor(high + margin)
    powers = list(range(first, last + 1, max(1, (last - first) // 3)))
    panel.minorticks_off()
    if len(powers) >= 2:
        panel.set_xticks([10**p for p in powers])
    else:
        ends = list(dict.fromkeys((min(at), max(at))))
        panel.set_xticks(ends, [_short(n) for n in ends])


def _short(n: int) -> str:
    """`97 k`, `1.2 M`."""
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if n >= size:
            return f"{n / size:.3g} {letter}"
    return str(n)
