"""Choosing among candidates by cross-validation."""

import statistics
from collections.abc import Sequence
from typing import Literal

from softprompt.errors import TrainingError
from softprompt.studies.definition.cells import Cell, Grid, Run
from softprompt.training import RunFolder, better


def fold_score(run: Run, score: Literal["last", "best"]) -> float | None:
    """The development metric of a fold run that has ended; None before that.

    Args:
        run: trained with the metric as `training.select`.
        score: which evaluation counts.
    """
    folder, metric = RunFolder(run.settings.folder), run.settings.training.select
    try:
        if folder.finished() is None:
            return None
    except TrainingError:  # the report names the error
        return None
    value: float | None = None
    for line in folder.lines():
        if line["kind"] != "evaluation" or metric not in line:
            continue
        if score == "last" or better(metric, line[metric], value):
            value = line[metric]
    return value


def pick(metric: str, scores: Sequence[Sequence[float | None]]) -> int | None:
    """The number of the option with the best mean over its folds, the first of equals.

    None while a score is missing.
    """
    best, chosen = None, None
    for i, of_option in enumerate(scores):
        mean = mean_score(of_option)
        if mean is None:
            return None
        if better(metric, mean, best):
            best, chosen = mean, i
    return chosen


def mean_score(scores: Sequence[float | None]) -> float | None:
    """The mean over the folds; None while one is missing."""
    known = [score for score in scores if score is not None]
    # `fmean` rounds once, so equal scores in another order have equal means.
    return statistics.fmean(known) if len(known) == len(scores) else None


def chosen(grid: Grid) -> Grid:
    """The same study, in which every cell whose folds have ended has the runs of its best candidate."""
    choose = grid.settings.choose
    if choose is None:
        return grid

    def decide(cell: Cell) -> Cell:
        scores = [[fold_score(run, choose.score) for run in option.folds] for option in cell.options]
        best = pick(cell.by, scores)
        return cell if cell.chosen or best is None else cell.choose(cell.options[best])

    return grid.each(decide)
