"""Scores against the number of stored parameters."""

import statistics
from collections.abc import Sequence
from typing import Any

from softprompt import plotting
from softprompt.plotting import Figure, Palette
from softprompt.studies.definition.measures import label
from softprompt.studies.figures.common import IN_TABLE, named, panels_of, repeated
from softprompt.studies.results.study_result import CellResult, StudyResult


def draw_parameters(result: StudyResult) -> Figure | None:
    """The measure of each cell against the parameters that its prompt stores; None if all store as many."""
    if len(stored_counts(result)) < 2:
        return None
    panels = panels_of(result)
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
    # Along an axis the rows are values of one setting.
    what = "rows" if result.grid.settings.vary is None else result.grid.axis
    alt = f"Points of {title} for {what}: {', '.join(names)}. {IN_TABLE}"
    return plotting.panel_figure(title, caption, alt, panels, draw, 2.5, names)


def stored_counts(result: StudyResult) -> set[int]:
    """The different numbers of parameters that prompts of the study store, zero left out."""
    return {n for cell in result.all_cells for n in cell.count("stored_parameters") if n > 0}
