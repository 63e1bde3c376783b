"""Figures whose rows are those of the table: boxes and bars."""

from collections.abc import Callable, Sequence
from typing import Any

from softprompt import plotting
from softprompt.errors import counted
from softprompt.plotting import Figure, Palette
from softprompt.studies.definition.measures import label
from softprompt.studies.figures.along import draw_boxes_along
from softprompt.studies.figures.common import BOXES, IN_TABLE, named, panels_of, repeated
from softprompt.studies.results.study_result import CellResult, StudyResult


def draw_boxes(result: StudyResult) -> Figure | None:
    """A box for each cell, along the axis or row by row; None if no cell has two values."""
    if not repeated(result):
        return None
    if result.grid.settings.vary is not None:
        return draw_boxes_along(result)
    return _by_rows(result, "over the seeds", BOXES, plotting.box_plot)


def draw_bars(result: StudyResult) -> Figure | None:
    """A bar for each cell, row by row with a panel for each column; None if no run is done."""
    if not any(cell.values for cell in result.cells):
        return None
    spread = "Means over the runs of a cell, with one standard deviation; dots are single runs."
    return _by_rows(result, "by row", spread if repeated(result) else "One run each.", plotting.bar_plot)


def _by_rows(result: StudyResult, what: str, caption: str, draw_values: Callable[..., Any]) -> Figure:
    """A panel for each column, with the rows of the table from top to bottom and a line at chance."""
    panels = panels_of(result)
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
    across = f" in {counted(len(panels), 'column')}" if len(panels) > 1 else ""
    alt = f"{title} for {counted(len(rows), 'row')}{across}. {IN_TABLE}"
    caption += " The dotted line is chance." * any(result.chance.values())
    height = 0.8 + 0.19 * max(sum(row.count("\n") + 1 for row in rows), 1.6 * len(rows))
    return plotting.panel_figure(title, caption, alt, panels, draw, height, share_rows=True)
