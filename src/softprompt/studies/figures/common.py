"""Texts and panels that several figures share."""

from collections.abc import Iterable

from softprompt.studies.definition.measures import label
from softprompt.studies.results.study_result import CellResult, StudyResult

IN_TABLE = "The numbers are in the table of results."
BOXES = (
    "Boxes reach from the lower to the upper quartile over the runs of a cell, the line is the median, "
    "whiskers end at minimum and maximum; dots are single runs."
)


def repeated(result: StudyResult) -> bool:
    """Whether a cell has several values."""
    return any(len(cell.values) > 1 for cell in result.cells)


def named(measures: Iterable[str]) -> str:
    """The name of a measure in the title of a figure; `scores` for several measures."""
    first, *others = dict.fromkeys(measures)
    return "scores" if others else label(first, direction=False)


def panels_of(result: StudyResult) -> list[tuple[str, list[CellResult]]]:
    """The cells of each column from top to bottom, with the references if there is a single column."""
    columns = result.grid.columns
    references = result.references if len(columns) == 1 else ()
    return [(column, [*result.column(column), *references]) for column in columns]
