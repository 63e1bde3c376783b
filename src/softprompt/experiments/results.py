"""What has become of a study's runs, read from their folders alone."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from softprompt.errors import SoftpromptError, TrainingError
from softprompt.experiments.cells import Cell, Grid, Run
from softprompt.experiments.chance import majority
from softprompt.experiments.choosing import chosen, fold_score
from softprompt.experiments.folders import check_folders, read_failure
from softprompt.metrics import HIGHER_IS_BETTER
from softprompt.training.folder import RunFolder

State = Literal["done", "failed", "unfinished", "not run"]


@dataclass(frozen=True)
class RunResult:
    """One run as its folder shows it.

    Args:
        value: the cell's metric on the test set; None unless the run is done.
        facts: what its `result.json` says; empty unless the run is done.
        error: why it failed.
    """

    run: Run
    state: State
    value: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class CellResult:
    """The runs of a cell, and what they say together.

    Args:
        runs: empty as long as the cell has not chosen among its options.
        folds: for each option its runs on folds, whose values are development scores.
    """

    cell: Cell
    runs: tuple[RunResult, ...]
    folds: tuple[tuple[RunResult, ...], ...] = ()

    @property
    def values(self) -> list[float]:
        """The metric of every run that is done."""
        return [run.value for run in self.runs if run.value is not None]

    def values_of(self, metric: str) -> list[float]:
        """Any test metric, of every run that is done and has it."""
        found = [overall(run.facts).get(metric) for run in self.runs if run.state == "done"]
        return [value for value in found if value is not None]

    @property
    def mean(self) -> float | None:
        """Mean over the runs that are done; None if none is."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation (n - 1); None for fewer than two runs."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def complete(self) -> bool:
        """Whether every run is done."""
        return len(self.values) == self.cell.n_runs

    @property
    def state(self) -> State:
        """The state to tell of where there is no value: the worst one (of the folds, before the choice)."""
        states = {run.state for run in self.runs or [run for option in self.folds for run in option]}
        if not self.runs and "failed" not in states and len(states) > 1:
            return "unfinished"
        return next(state for state in ("failed", "unfinished", "not run", "done") if state in states)

    def count(self, name: str) -> list[int]:
        """One of the counts (`trained_parameters`, ...) of the runs that are done, each number once."""
        return sorted({run.facts["counts"][name] for run in self.runs if run.state == "done"})


@dataclass(frozen=True)
class StudyResult:
    """A study as far as it has come.

    Args:
        chance: by column, the level of always saying the same, by metric; empty where none was asked for.
        no_chance: by column, why its level is not known.
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
    def n_runs(self) -> int:
        """How many runs the study has in all, those that are not known yet too."""
        return sum(cell.cell.n_runs + len(list(cell.cell.folds)) for cell in self.all_cells)

    @property
    def missing(self) -> list[RunResult]:
        """The runs that are neither done nor failed."""
        return [run for run in self.runs if run.state not in ("done", "failed")]

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

    def is_best(self, cell: CellResult) -> bool:
        """Whether no complete cell of its column has a better mean, as far as two decimals show."""
        rivals = [other for other in self.column(cell.cell.column) if other.complete]
        if cell not in rivals or len(rivals) < 2:
            return False
        best = max if HIGHER_IS_BETTER[cell.cell.metric] else min
        means = [round(other.mean, 2) for other in rivals if other.mean is not None]
        return cell.mean is not None and round(cell.mean, 2) == best(means)


def read_results(grid: Grid) -> StudyResult:
    """Gather what the runs left; nothing is run.

    Raises:
        TrainingError: a run's folder holds a run with other settings.
    """
    check_folders(grid)
    grid = chosen(grid)
    return StudyResult(grid, *_cells(grid), *_chance(grid))


def overall(facts: Mapping[str, Any]) -> dict[str, float]:
    """The scores of all test records in what a `result.json` says; empty without any."""
    groups = facts.get("scores", [])
    return next((dict(group["values"]) for group in groups if group["group"] == "all"), {})


def _cells(grid: Grid) -> tuple[tuple[CellResult, ...], tuple[CellResult, ...]]:
    """The cells and the references, as far as their runs have come."""
    cells, references = ([_read(grid, cell) for cell in some] for some in (grid.cells, grid.references))
    return tuple(cells), tuple(references)


def _read(grid: Grid, cell: Cell) -> CellResult:
    runs = tuple(_read_run(grid, cell, run) for run in cell.runs)
    folds = tuple(tuple(_read_fold(grid, run) for run in option.folds) for option in cell.options)
    return CellResult(cell, runs, folds)


def _chance(grid: Grid) -> tuple[dict[str, Mapping[str, float]], dict[str, str]]:
    """The levels of the columns, and why some are not known."""
    asked = grid.settings.chance
    first = {column: next(c for c in grid.cells if c.column == column) for column in grid.columns}
    if asked is False:
        return {}, {}
    if asked is True:
        found, missing = {}, {}
        for column, cell in first.items():
            try:
                found[column] = majority(cell)
            except SoftpromptError as error:  # a report can be made where the data are not
                missing[column] = str(error)
        return found, missing
    if isinstance(asked, dict):
        return {column: {first[column].metric: value} for column, value in asked.items()}, {}
    return {column: {cell.metric: asked} for column, cell in first.items()}, {}


def failed_runs(grid: Grid) -> list[RunResult]:
    """The runs that failed, those on folds first."""
    return StudyResult(grid, *_cells(chosen(grid))).failed


def _read_fold(grid: Grid, run: Run) -> RunResult:
    choose = grid.settings.choose
    value = fold_score(run, choose.score) if choose is not None else None
    facts = _facts(grid, run)
    if isinstance(facts, RunResult):
        return facts
    if value is None:
        return RunResult(run, "failed", error="its log has no evaluation of the fold")
    return RunResult(run, "done", value, facts)


def _read_run(grid: Grid, cell: Cell, run: Run) -> RunResult:
    facts = _facts(grid, run)
    if isinstance(facts, RunResult):
        return facts
    value = overall(facts).get(cell.metric)
    if value is not None:
        return RunResult(run, "done", float(value), facts)
    notes = "; ".join(note for group in facts["scores"] for note in group["notes"])
    why = notes or ("no test set" if not facts["scores"] else "no note says why")
    return RunResult(run, "failed", error=f"it has no {cell.metric} on the test set: {why}")


def _facts(grid: Grid, run: Run) -> Mapping[str, Any] | RunResult:
    """What the result of a run says; or what became of it where it says nothing of use."""
    folder = RunFolder(run.settings.folder)
    try:
        facts = folder.finished()
    except TrainingError as error:
        return RunResult(run, "failed", error=str(error))
    if facts is not None:
        wrong = _unusable(facts)
        where = folder.result.as_posix()
        return facts if not wrong else RunResult(run, "failed", error=f"{where}: got no usable {wrong}")
    error = read_failure(grid, run)
    if error is not None:
        return RunResult(run, "failed", error=error)
    return RunResult(run, "unfinished" if folder.settings.exists() else "not run")


def _unusable(facts: Mapping[str, Any]) -> str:
    """The first thing that reports need and that a result does not say; empty where it says all."""
    groups = [group for group in facts["scores"] if isinstance(group, dict)]
    scores = [
        value
        for group in groups
        if isinstance(group.get("values"), dict)
        for value in group["values"].values()
    ]
    whole = all({"group", "values", "notes"} <= set(group) for group in groups)
    if len(groups) < len(facts["scores"]) or not whole or not all(isinstance(s, int | float) for s in scores):
        return "scores"
    counts, seconds = facts["counts"], facts.get("seconds")
    if not all(isinstance(counts.get(f"{kind}_parameters"), int) for kind in ("trained", "stored")):
        return "counts"
    if not isinstance(seconds, dict) or not isinstance(seconds.get("training"), int | float):
        return "seconds"
    kinds = {"versions": dict, "hardware": str}
    return next((key for key, kind in kinds.items() if not isinstance(facts.get(key), kind)), "")
