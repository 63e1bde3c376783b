"""Every figure that a report can draw, a row each; study files, reports and documentation use the rows."""

from collections.abc import Callable
from dataclasses import dataclass

from softprompt.plotting import Figure
from softprompt.studies.figures.along import draw_curve, numbers_of
from softprompt.studies.figures.by_row import draw_bars, draw_boxes
from softprompt.studies.figures.learning import draw_learning, has_curves
from softprompt.studies.figures.parameters import draw_parameters, stored_counts
from softprompt.studies.results.study_result import StudyResult


@dataclass(frozen=True)
class FigureRow:
    """A figure.

    Args:
        name: in study files, and of the files that hold the figure.
        function: draws it; None where there is nothing to draw.
        suits: whether the figure is drawn for a study whose file does not name its figures.
        lacking: why nothing was drawn.
        shows: what the figure shows, for `docs/reports.md`.
        by_itself: `suits` in words.
        needs_axis: whether only studies with `vary` can have the figure.
    """

    name: str
    function: Callable[[StudyResult], Figure | None]
    suits: Callable[[StudyResult], bool]
    lacking: str
    shows: str
    by_itself: str
    needs_axis: bool = False


def _has_axis(result: StudyResult) -> bool:
    return result.grid.settings.vary is not None


def _most_runs(result: StudyResult) -> int:
    """The largest number of runs that a cell has or will have."""
    return max((cell.cell.n_runs for cell in result.cells), default=0)


FIGURES: dict[str, FigureRow] = {
    row.name: row
    for row in (
        FigureRow(
            "curve", draw_curve, lambda result: numbers_of(result) is not None, "no run is done",
            "the measure along `vary`: data size, length, depth "
            "(a line per column, ascending and descending)",
            "`vary` over numbers", needs_axis=True,
        ),
        FigureRow(
            "bars", draw_bars,
            lambda result: numbers_of(result) is None if _has_axis(result) else _most_runs(result) < 3,
            "no run is done",
            "means by row", "rows with one or two seeds; `vary` over words",
        ),
        FigureRow(
            "box", draw_boxes, lambda result: _most_runs(result) >= (4 if _has_axis(result) else 3),
            "no cell has two runs that are done",
            "minimum, quartiles, median, maximum, and every run as a dot",
            "rows with three runs or more; `vary` with more than three",
        ),
        FigureRow(
            "parameters", draw_parameters,
            lambda result: not _has_axis(result) and len(stored_counts(result)) > 1,
            "fewer than two different numbers of stored parameters",
            "the measure against stored parameters", "rows that store different numbers",
        ),
        FigureRow(
            "learning", draw_learning, has_curves,
            "no run has two evaluations on development records that its log or the results table kept",
            "development scores over the steps", "wherever runs were evaluated twice",
        ),
    )
}  # fmt: skip
"""The figures by name, in the order in which a report draws those that suit a study."""


def suitable(result: StudyResult) -> list[str]:
    """The names of the figures that suit a study."""
    return [row.name for row in FIGURES.values() if row.suits(result)]


def draw_figures(result: StudyResult) -> tuple[dict[str, Figure], list[str]]:
    """Draw the figures that the study file names, or else those that suit the study.

    Returns:
        The figures by name, and for each that could not be drawn a line that says why.
    """
    named = result.grid.settings.figures
    drawn: dict[str, Figure] = {}
    lacking = []
    for name in suitable(result) if named is None else named:
        figure = FIGURES[name].function(result)
        if figure is None:
            lacking.append(f"No figure '{name}': {FIGURES[name].lacking}")
        else:
            drawn[name] = figure
    return drawn, lacking
