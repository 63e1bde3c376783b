"""Which figures a study's report draws, and those whose rows are the rows of the table."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from softprompt import plotting
from softprompt.plotting import Figure, Palette
from softprompt.studies.definition.measures import label
from softprompt.studies.definition.settings import FigureKind
from softprompt.studies.report.along import (
    BOXES,
    IN_TABLE,
    draw_boxes_along,
    draw_curve,
    draw_learning,
    named,
    numbers_of,
    repeated,
)
from softprompt.studies.results.curves import curve_of
from softprompt.studies.results.study_result import CellResult, StudyResult

_SEVERAL = 3
"""From so many runs in a cell on a box says more than a bar."""


def figures(result: StudyResult) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    """The figures that the study file names, or those that its shape asks for.

    Returns:
        The figures, and for each that could not be drawn a line that says why.
    """
    asked = result.grid.settings.figures
    found, lacking = [], []
    for kind in by_shape(result) if asked is None else asked:
        draw, why = _FIGURES[kind]
        made = draw(result)
        if made is not None:
            found.append(made)
        else:
            lacking.append(f"No figure '{kind}': {why}")
    return tuple(found), tuple(lacking)


def by_shape(result: StudyResult) -> list[FigureKind]:
    """Lines along an axis of numbers, bars along another; boxes over seeds; what it cost; curves."""
    kinds: list[FigureKind] = []
    n_runs = max((cell.cell.n_runs for cell in result.cells), default=0)
    if result.grid.settings.vary is not None:
        kinds.append("curve" if numbers_of(result) is not None else "bars")
        if n_runs > _SEVERAL:
            kinds.append("box")
    else:
        kinds.append("box" if n_runs >= _SEVERAL else "bars")
        if len(_stored_counts(result)) > 1:
            kinds.append("parameters")
    if any(len(curve_of(run).points) > 1 for cell in result.cells for run in cell.runs):
        kinds.append("learning")
    return kinds


def draw_boxes(result: StudyResult) -> Figure | None:
    """A box for each cell, along the axis or row by row; None where no cell has two values."""
    if not repeated(result):
        return None
    if result.grid.settings.vary is not None:
        return draw_boxes_along(result)
    return _by_rows(result, "box", "over the seeds", BOXES, plotting.box_plot)


def draw_bars(result: StudyResult) -> Figure | None:
    """A bar for each cell, row by row with a panel for each column; None where no run is done."""
    if not any(cell.values for cell in result.cells):
        return None
    spread = "Means over the runs of a cell, with one standard deviation; dots are single runs."
    return _by_rows(
        result, "bars", "by row", spread if repeated(result) else "One run each.", plotting.bar_plot
    )


def draw_parameters(result: StudyResult) -> Figure | None:
    """The measure of each cell against the numbers that its prompt stores; None where all store as many."""
    if len(_stored_counts(result)) < 2:
        return None
    panels = _panels(result)
    names = list(dict.fromkeys(cell.cell.row for _, cells in panels for cell in cells))

    def draw(panel: Any, cells: Sequence[CellResult], _: Palette) -> dict[str, Any]:
        handles, counts = {}, []
        for cell in cells:
            n = max(cell.count("stored_parameters"), default=0)
            if not cell.values or n == 0:
                continue
            counts.append(n)
            i, mean = names.index(cell.cell.row), statistics.fmean(cell.values)
            point = plotting.line(panel, i, [n], [mean], linestyle="none", markersize=6)
            if len(cell.values) > 1:
                ends = [min(cell.values), max(cell.values)]
                panel.plot([n, n], ends, color=point.get_color(), lw=1, alpha=0.7)
            handles[cell.cell.row] = point
        plotting.count_axis(panel, counts)
        panel.set(xlabel="stored parameters", ylabel=label(cells[0].cell.metric))
        return handles

    title = f"{named(cell.cell.metric for cell in result.cells)} against stored parameters"
    spread = "Means of the cells, with lines from the worst to the best run"
    what = spread if repeated(result) else "One run each"
    caption = f"{what}; the horizontal axis is logarithmic. A row that stores nothing is left out."
    # Along an axis the rows are one series: the points of a line.
    what = "rows" if result.grid.settings.vary is None else result.grid.axis
    alt = f"Points of {title} for {what}: {', '.join(names)}. {IN_TABLE}"
    return plotting.panel_figure("parameters", title, caption, alt, panels, draw, 2.5, names)


def _by_rows(
    result: StudyResult, name: str, what: str, caption: str, draw_values: Callable[..., Any]
) -> Figure:
    """A panel for each column, in which every row of the table has its place, and chance a line."""
    panels = _panels(result)
    rows = [plotting.wrapped(cell.cell.row, 22 if len(panels) > 1 else 30) for cell in panels[0][1]]

    def draw(panel: Any, cells: Sequence[CellResult], palette: Palette) -> dict[str, Any]:
        cell = cells[0].cell
        draw_values(panel, {i: cell.values for i, cell in enumerate(cells)})
        level = result.chance.get(cell.column, {}).get(cell.metric)
        if level is not None:
            panel.axvline(level, color=palette.ink, **plotting.CHANCE)
        panel.set_yticks(range(len(rows)), rows)
        panel.set(ylim=(len(rows) - 0.4, -0.6), xlabel=label(cell.metric))
        panel.grid(axis="y", visible=False)
        panel.tick_params(axis="y", length=0)
        return {}

    title = f"{named(cell.cell.metric for cell in result.cells)} {what}"
    across = f" in {len(panels)} columns" if len(panels) > 1 else ""
    alt = f"{title} for {len(rows)} rows{across}. {IN_TABLE}"
    caption += " The dotted line is chance." * any(result.chance.values())
    height = 0.8 + 0.19 * max(sum(row.count("\n") + 1 for row in rows), 1.6 * len(rows))
    return plotting.panel_figure(name, title, caption, alt, panels, draw, height, share_rows=True)


_FIGURES: Mapping[FigureKind, tuple[Callable[[StudyResult], Figure | None], str]] = {
    "curve": (draw_curve, "no run is done"),
    "box": (draw_boxes, "no cell has two runs that are done"),
    "bars": (draw_bars, "no run is done"),
    "parameters": (draw_parameters, "fewer than two different numbers of stored parameters"),
    "learning": (
        draw_learning,
        "no run has two evaluations on development records that its log or the results table kept",
    ),
}
"""Every figure: what makes it, and why it may be missing."""


def _panels(result: StudyResult) -> list[tuple[str, list[CellResult]]]:
    """The columns from top to bottom; the references follow where there is only one."""
    columns = result.grid.columns
    references = result.references if len(columns) == 1 else ()
    return [(column, [*result.column(column), *references]) for column in columns]


def _stored_counts(result: StudyResult) -> set[int]:
    return {n for cell in result.all_cells for n in cell.count("stored_parameters") if n > 0}
