"""The results of a study, read from the folders of its runs."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from softprompt.errors import TrainingError
from softprompt.studies.definition.cells import Cell, Grid, Run
from softprompt.studies.definition.chance import levels
from softprompt.studies.definition.choosing import chosen, fold_score
from softprompt.studies.definition.measures import higher_is_better, scores_of, unusable
from softprompt.studies.results.folders import check_folders, read_failure
from softprompt.studies.results.numbers import cut
from softprompt.training import RunFolder

State = Literal["done", "failed", "unfinished", "not run"]


@dataclass(frozen=True)
class RunResult:
    """The result of one run.

    Args:
        value: the cell's metric on the test set; None unless the run is done.
        facts: the content of its `result.json`; empty unless the run is done.
        error: why the run failed.
        stored: whether the result is from a results table, not from the run's folder.
    """

    run: Run
    state: State
    value: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    stored: bool = False


@dataclass(frozen=True)
class CellResult:
    """The results of the runs of a cell.

    Args:
        runs: empty as long as the cell has not chosen among its options.
        folds: for each option the runs on folds, whose values are development scores.
    """

    cell: Cell
    runs: tuple[RunResult, ...]
    folds: tuple[tuple[RunResult, ...], ...] = ()

    @property
    def values(self) -> list[float]:
        """The metric of every run that is done."""
        return [run.value for run in self.runs if run.value is not None]

    def values_of(self, metric: str) -> list[float]:
        """A measure on the test set, of every run that is done and has the measure."""
        values = [scores_of(run.facts).get(metric) for run in self.runs if run.state == "done"]
        return [value for value in values if value is not None]

    @property
    def mean(self) -> float | None:
        """Mean over the runs that are done; None if none is."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def complete(self) -> bool:
        """Whether every run is done."""
        return len(self.values) == self.cell.n_runs

    @property
    def state(self) -> State:
        """The worst state of a run; before the choice, of a run on a fold."""
        states = {run.state for run in self.runs or [run for option in self.folds for run in option]}
        if not self.runs and "failed" not in states and len(states) > 1:
            return "unfinished"
        return next(state for state in ("failed", "unfinished", "not run", "done") if state in states)

    def count(self, name: str) -> list[int]:
        """The different values of a count (`trained_parameters`, ...) of the runs that are done."""
        return sorted({run.facts["counts"][name] for run in self.runs if run.state == "done"})


@dataclass(frozen=True)
class StudyResult:
    """The results of a study so far.

    Args:
        chance: by column the chance level, by metric; empty if the study does not ask for it.
        no_chance: by column, why its chance level is unknown.
    """

    grid: Grid
    cells: tuple[CellResult, ...]
    references: tuple[CellResult, ...]
    chance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    no_chance: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_cells(self) -> tuple[CellResult, ...]:
        """The cells, and the references after them."""
        return (*self.cells, *self.references)

    @property
    def runs(self) -> list[RunResult]:
        """Every run, those on folds first, in the order of the table."""
        folds = [run for cell in self.all_cells for option in cell.folds for run in option]
        return [*folds, *(run for cell in self.all_cells for run in cell.runs)]

    @property
    def failed(self) -> list[RunResult]:
        """The runs that failed."""
        return [run for run in self.runs if run.state == "failed"]

    def at(self, row: str, column: str) -> CellResult:
        """The cell of a row and a column."""
        return next(c for c in self.cells if (c.cell.row, c.cell.column) == (row, column))

    def column(self, name: str) -> list[CellResult]:
        """The cells of a column, from top to bottom."""
        return [cell for cell in self.cells if cell.cell.column == name]

    def is_best(self, cell: CellResult, measure: str | None = None) -> bool:
        """Whether no complete cell of the same column has a better mean, compared with two decimals.

        Args:
            measure: None is the metric that compares cells.
        """
        measure = measure or cell.cell.metric
        means = {
            other.cell.row: float(cut(statistics.fmean(values), measure))
            for other in self.column(cell.cell.column)
            if other.complete and (values := other.values_of(measure))
        }
        best = max if higher_is_better(measure) else min
        return len(means) > 1 and means.get(cell.cell.row) == best(means.values())


def read_results(grid: Grid, strict: bool = True) -> StudyResult:
    """Read the results of every run; nothing is run.

    Args:
        strict: whether to refuse a folder that holds a run with other settings; else that run has failed.

    Raises:
        TrainingError: a folder is refused.
    """
    if strict:
        check_folders(grid)
    result = read_runs(grid)
    chance, missing = levels(result.grid)
    return replace(result, chance=chance, no_chance=missing)


def read_runs(grid: Grid) -> StudyResult:
    """As `read_results`, without chance levels, which need the data; a run with other settings has failed."""
    grid = chosen(grid)
    return gather(grid, lambda cell, run: _read_run(grid, cell, run))


def gather(grid: Grid, read: Callable[[Cell, Run], RunResult]) -> StudyResult:
    """The results of a study, from a function that reads one run of a cell or of its folds."""

    def cell_result(cell: Cell) -> CellResult:
        runs = tuple(read(cell, run) for run in cell.runs)
        folds = tuple(tuple(read(cell, run) for run in option.folds) for option in cell.options)
        return CellResult(cell, runs, folds)

    cells, references = (tuple(map(cell_result, some)) for some in (grid.cells, grid.references))
    return StudyResult(grid, cells, references)


def judged(run: Run, metric: str, facts: Mapping[str, Any]) -> RunResult:
    """The result of a run that has ended; failed if the run does not have the metric."""
    value = scores_of(facts).get(metric)
    if value is not None:
        return RunResult(run, "done", float(value), facts)
    notes = "; ".join(note for group in facts["scores"] for note in group["notes"])
    why = notes or ("no test set" if not facts["scores"] else "no note says why")
    return RunResult(run, "failed", error=f"it has no {metric} on the test set: {why}")


def _read_run(grid: Grid, cell: Cell, run: Run) -> RunResult:
    """The result of a run of the cell, or of one on a fold."""
    choose, folder = grid.settings.choose, RunFolder(run.settings.folder)
    try:
        facts = folder.finished()
        if folder.settings.is_file():
            folder.check(run.settings, resume=True)
        if facts is None:
            return _not_done(grid, run)
        if wrong := unusable(facts):
            got = f"nothing of use as {wrong}"
            raise TrainingError(folder.result.as_posix(), got, "the result that the run wrote at its end")
        if choose is None or not run.of_choice:
            return judged(run, cell.metric, facts)
        value = fold_score(run, choose.score)
    except TrainingError as error:
        return RunResult(run, "failed", error=str(error))
    if value is None:
        return RunResult(run, "failed", error="its log has no evaluation of the fold; remove its folder")
    return RunResult(run, "done", value, facts)


def _not_done(grid: Grid, run: Run) -> RunResult:
    error = read_failure(grid, run)
    if error is not None:
        return RunResult(run, "failed", error=error)
    return RunResult(run, "unfinished" if RunFolder(run.settings.folder).settings.exists() else "not run")
