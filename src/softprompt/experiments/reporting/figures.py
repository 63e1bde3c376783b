"""Which figures a study's report draws."""

from collections.abc import Callable, Mapping

from softprompt.experiments.curves import curve_of
from softprompt.experiments.reporting.along import draw_curve, numbers_of
from softprompt.experiments.reporting.boxes import draw_bars, draw_boxes
from softprompt.experiments.reporting.canvas import Figure
from softprompt.experiments.reporting.spread import draw_learning, draw_parameters
from softprompt.experiments.results import StudyResult
from softprompt.experiments.settings import FigureKind

_DRAW: Mapping[FigureKind, Callable[[StudyResult], Figure | None]] = {
    "curve": draw_curve,
    "box": draw_boxes,
    "bars": draw_bars,
    "parameters": draw_parameters,
    "learning": draw_learning,
}

_LACKING: Mapping[FigureKind, str] = {
    "curve": "no run is done",
    "box": "no cell has two runs that are done",
    "bars": "no run is done",
    "parameters": "fewer than two different numbers of stored parameters",
    "learning": "no run has two evaluations on development records that its log or the results table kept",
}

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
        figure = _DRAW[kind](result)
        if figure is not None:
            found.append(figure)
        else:
            lacking.append(f"No figure '{kind}': {_LACKING[kind]}")
    return tuple(found), tuple(lacking)


def by_shape(result: StudyResult) -> list[FigureKind]:
    """Lines along an axis of numbers, bars along another; boxes over seeds; what it cost; curves."""
    grid = result.grid
    kinds: list[FigureKind] = []
    n_runs = max((cell.cell.n_runs for cell in result.cells), default=0)
    if grid.settings.vary is not None:
        kinds.append("curve" if numbers_of(result) is not None else "bars")
        if n_runs > _SEVERAL:
            kinds.append("box")
    else:
        kinds.append("box" if n_runs >= _SEVERAL else "bars")
        if len({n for cell in result.all_cells for n in cell.count("stored_parameters") if n > 0}) > 1:
            kinds.append("parameters")
    if any(len(curve_of(run).points) > 1 for cell in result.cells for run in cell.runs):
        kinds.append("learning")
    return kinds
