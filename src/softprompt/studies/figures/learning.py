"""The learning curves of a study."""

import statistics
from collections.abc import Iterable
from typing import Any

from softprompt import plotting
from softprompt.plotting import Figure, Palette
from softprompt.studies.definition.measures import label
from softprompt.studies.results.curves import Curve, curve_of
from softprompt.studies.results.study_result import CellResult, StudyResult


def has_curves(result: StudyResult) -> bool:
    """Whether a run was evaluated twice."""
    return any(len(curve_of(run).points) > 1 for cell in result.cells for run in cell.runs)


def draw_learning(result: StudyResult) -> Figure | None:
    """Development scores over the steps, a line per row; None if no run was evaluated twice."""
    grid = result.grid
    # By column and metric, then by row.
    curves: dict[tuple[str, str], dict[str, list[Curve]]] = {}
    for cell in result.cells:
        for metric, some in _learning_curves(cell).items():
            curves.setdefault((cell.cell.column, metric), {})[cell.cell.row] = some
    if not curves:
        return None
    places = sorted(curves, key=lambda place: (grid.columns.index(place[0]), place[1]))
    names = [row for row in grid.rows if any(row in lines for lines in curves.values())]

    def draw(panel: Any, place: tuple[str, str], _: Palette) -> dict[str, Any]:
        handles, lines = {}, curves[place]
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
    several = any(len(some) > 1 for lines in curves.values() for some in lines.values())
    band = "Means over the seeds, in a band from the lowest to the highest run, as far as every run went."
    caption = (band if several else "One run each.") + (f" Lines: {grid.axis}." if grid.axis else "")
    alt = f"Lines of {title[0].lower()}{title[1:]} for {', '.join(names)}."
    panels = [(place[0], place) for place in places]
    return plotting.panel_figure(title, caption, alt, panels, draw, 2.4, names)


def over_runs(curves: Iterable[Curve]) -> tuple[list[int], list[float], list[float], list[float]]:
    """The steps at which every run was evaluated, with the mean, lowest and highest score at each."""
    runs = [dict(curve.points) for curve in curves]
    steps = sorted(set.intersection(*map(set, runs)))
    values = [[run[step] for run in runs] for step in steps]
    return steps, [statistics.fmean(v) for v in values], [min(v) for v in values], [max(v) for v in values]


def _learning_curves(cell: CellResult) -> dict[str, list[Curve]]:
    """The curves of a cell by metric, without those of a single point."""
    curves: dict[str, list[Curve]] = {}
    for run in cell.runs:
        curve = curve_of(run)
        if run.state in ("done", "unfinished") and len(curve.points) > 1:
            curves.setdefault(curve.metric, []).append(curve)
    return {metric: some for metric, some in curves.items() if over_runs(some)[0]}
