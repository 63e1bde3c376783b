"""Figures along an axis: measures over its values, and groups of boxes."""

import statistics
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from softprompt import plotting
from softprompt.plotting import Figure, Palette
from softprompt.studies.definition.measures import label
from softprompt.studies.definition.settings import labelled
from softprompt.studies.figures.common import BOXES, IN_TABLE, named, repeated
from softprompt.studies.results.study_result import StudyResult

_DECADE = 10
"""An axis is logarithmic if the largest value is more than so many times the smallest."""


def numbers_of(result: StudyResult) -> list[float] | None:
    """The places of the rows on their axis; None if the values are not different numbers."""
    vary = result.grid.settings.vary
    if vary is None:
        return None
    values = [_number(*labelled(value)) for value in vary.values]
    numbers = [value for value in values if value is not None]
    return numbers if len(set(numbers)) == len(values) > 1 else None


def draw_curve(result: StudyResult) -> Figure | None:
    """Means, deviations and single runs along the axis, a line per column and a panel per measure.

    Returns:
        The figure; None without an axis or without values.
    """
    grid = result.grid
    if grid.settings.vary is None or not any(cell.values for cell in result.cells):
        return None
    measures = list(dict.fromkeys(m for cell in result.cells for m in cell.cell.metrics))
    numbers = numbers_of(result)
    at = numbers if numbers is not None else [float(i) for i in range(len(grid.rows))]
    is_log = numbers is not None and min(numbers) > 0 and max(numbers) / min(numbers) > _DECADE

    def draw(panel: Any, measure: str) -> dict[str, Any]:
        handles: dict[str, Any] = {}
        for i, column in enumerate(grid.columns):
            cells = result.column(column)
            if measure in cells[0].cell.metrics:
                values = [cell.values_of(measure) for cell in cells]
                handles[column] = plotting.runs_line(panel, i, dict(zip(at, values, strict=True)))
        if numbers is None:
            plotting.word_axis(panel, grid.rows, min(len(measures), 2))
        else:
            plotting.value_axis(panel, at, grid.rows, is_log, min(len(measures), 2))
        return handles

    caption = "Mean over the seeds with one standard deviation; dots are single runs." * repeated(result)
    caption += " The horizontal axis is logarithmic." * is_log
    lines = ", ".join(filter(None, grid.columns))
    title = f"{named(measures)} against {grid.axis}"
    alt = f"Lines of {title}{f' for {lines}' if lines else ''}. {IN_TABLE}"
    return _along(result, title, caption.strip(), alt, measures, draw)


def draw_boxes_along(result: StudyResult) -> Figure:
    """Groups of boxes side by side, a group for each value of the axis, a box for each column."""
    grid = result.grid
    measures = list(dict.fromkeys(cell.cell.metric for cell in result.cells))

    def draw(panel: Any, measure: str) -> dict[str, Any]:
        handles: dict[str, Any] = {}
        columns = [c for c in grid.columns if result.column(c)[0].cell.metric == measure]
        width = 0.8 / len(columns)
        for i, column in enumerate(columns):
            shift = (i - (len(columns) - 1) / 2) * width
            values = {at + shift: cell.values for at, cell in enumerate(result.column(column))}
            color = plotting.series(grid.columns.index(column))["color"]
            handles[column] = plotting.box_plot(panel, values, width=0.8 * width, color=color, upright=True)
        plotting.word_axis(panel, grid.rows, min(len(measures), 2))
        panel.grid(axis="x", visible=False)
        return handles

    title = f"{named(measures)} over the seeds, by {grid.axis}"
    return _along(result, title, BOXES, f"Box plots of {title}. {IN_TABLE}", measures, draw)


def _along(
    result: StudyResult, title: str, caption: str, alt: str, measures: list[str],
    draw_columns: Callable[[Any, str], dict[str, Any]],
) -> Figure:  # fmt: skip
    """A panel for each measure, with lines for references, and for chance if all columns have one level."""

    def draw(panel: Any, measure: str, palette: Palette) -> dict[str, Any]:
        handles = draw_columns(panel, measure)
        for i, cell in enumerate(result.references):
            if values := cell.values_of(measure):
                look = {"color": palette.muted, "linestyle": ("--", ":", "-.")[i % 3], "linewidth": 1.2}
                handles[cell.cell.row] = panel.axhline(statistics.fmean(values), **look)
        levels = {level[measure] for level in result.chance.values() if measure in level}
        if len(levels) == 1:
            handles["chance"] = panel.axhline(levels.pop(), color=palette.ink, **plotting.CHANCE)
        panel.set(xlabel=result.grid.axis, ylabel=label(measure))
        return handles

    legend = [*result.grid.columns, *(cell.cell.row for cell in result.references)]
    legend += ["chance"] * bool(result.chance)
    return plotting.panel_figure(
        title, caption, alt, [("", measure) for measure in measures], draw, 2.9, legend
    )


def _number(*forms: Any) -> float | None:
    for one in forms:
        with suppress(TypeError, ValueError):
            if not isinstance(one, bool):
                return float(one)
    return None
