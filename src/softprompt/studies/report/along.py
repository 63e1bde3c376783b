"""Figures along an axis: measures over its values, boxes over its values, learning curves over the steps."""

import statistics
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from softprompt import plotting
from softprompt.plotting import Figure, Palette
from softprompt.studies.definition.measures import label
from softprompt.studies.definition.settings import labelled
from softprompt.studies.results.curves import Curve, curve_of
from softprompt.studies.results.study_result import CellResult, StudyResult

_DECADE = 10
"""Values that span more than this are drawn on a logarithmic axis."""

IN_TABLE = "The numbers are in the table of results."
BOXES = (
    "Boxes reach from the lower to the upper quartile over the runs of a cell, the line is the median, "
    "whiskers end at minimum and maximum; dots are single runs."
)


def numbers_of(result: StudyResult) -> list[float] | None:
    """Where the rows lie on their axis; None where they are no different numbers."""
    vary = result.grid.settings.vary
    if vary is None:
        return None
    found = [_number(*labelled(value)) for value in vary.values]
    numbers = [value for value in found if value is not None]
    return numbers if len(set(numbers)) == len(found) > 1 else None


def draw_curve(result: StudyResult) -> Figure | None:
    """Means, deviations and single runs along the axis, a line per column and a panel per measure.

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
    return _along(result, "curve", title, caption.strip(), alt, measures, draw)


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
    return _along(result, "box", title, BOXES, f"Box plots of {title}. {IN_TABLE}", measures, draw)


def _along(
    result: StudyResult, name: str, title: str, caption: str, alt: str, measures: list[str],
    draw_columns: Callable[[Any, str], dict[str, Any]],
) -> Figure:  # fmt: skip
    """A panel for each measure, with lines for references, and for chance where it is one number."""

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
        name, title, caption, alt, [("", measure) for measure in measures], draw, 2.9, legend
    )


def draw_learning(result: StudyResult) -> Figure | None:
    """Development scores over the steps, a line per row; None where no run was evaluated twice."""
    grid = result.grid
    # By column and metric, and in these by row.
    unordered: dict[tuple[str, str], dict[str, list[Curve]]] = {}
    for cell in result.cells:
        for metric, some in _learning_curves(cell).items():
            unordered.setdefault((cell.cell.column, metric), {})[cell.cell.row] = some
    if not unordered:
        return None
    places = sorted(unordered, key=lambda place: (grid.columns.index(place[0]), place[1]))
    names = [row for row in grid.rows if any(row in lines for lines in unordered.values())]

    def draw(panel: Any, place: tuple[str, str], _: Palette) -> dict[str, Any]:
        handles, lines = {}, unordered[place]
        for row, some in lines.items():
            steps, means, low, high = over_runs(some)
            handles[row] = plotting.line(
                panel, grid.rows.index(row), steps, means, (low, high) if len(some) > 1 else None,
                alpha=0.15 if len(lines) <= 4 else 0.08, markersize=2.5,
            )  # fmt: skip
        panel.set(xlabel="step", ylabel=f"development {label(place[1])}".replace(" (", "\n("))
        plotting.whole_axis(panel)
        return handles

    measures = dict.fromkeys(label(metric, direction=False) for _, metric in places)
    title = f"Development {' and '.join(measures)} over the steps"
    several = any(len(some) > 1 for lines in unordered.values() for some in lines.values())
    band = "Means over the seeds, in a band from the lowest to the highest run, as far as every run went."
    caption = (band if several else "One run each.") + (f" Lines: {grid.axis}." if grid.axis else "")
    alt = f"Lines of {title[0].lower()}{title[1:]} for {', '.join(names)}."
    panels = [(place[0], place) for place in places]
    return plotting.panel_figure("learning", title, caption, alt, panels, draw, 2.4, names)


def over_runs(found: Iterable[Curve]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps that every run was evaluated at, with mean, lowest and highest score there."""
    of_runs = [dict(curve.points) for curve in found]
    steps = sorted(set.intersection(*(set(one) for one in of_runs)))
    values = [[one[step] for one in of_runs] for step in steps]
    return steps, [statistics.fmean(v) for v in values], [min(v) for v in values], [max(v) for v in values]


def _learning_curves(cell: CellResult) -> dict[str, list[Curve]]:
    """The curves of a cell by metric, without those of a single point."""
    found: dict[str, list[Curve]] = {}
    for run in cell.runs:
        curve = curve_of(run)
        if run.state in ("done", "unfinished") and len(curve.points) > 1:
            found.setdefault(curve.metric, []).append(curve)
    return {metric: some for metric, some in found.items() if over_runs(some)[0]}


def repeated(result: StudyResult) -> bool:
    """Whether a cell has several values."""
    return any(len(cell.values) > 1 for cell in result.cells)


def named(measures: Iterable[str]) -> str:
    """A measure's name at the head of a figure; `scores` for several."""
    first, *others = dict.fromkeys(measures)
    return "scores" if others else label(first, direction=False)


def _number(*forms: Any) -> float | None:
    for one in forms:
        with suppress(TypeError, ValueError):
            if not isinstance(one, bool):
                return float(one)
    return None
