"""What has become of a study's runs, read from their folders alone."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from softprompt.experiments.grid import Cell, Grid, Run
from softprompt.experiments.runner import check_folders, failure_of
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
    """The runs of a cell, and what they say together."""

    cell: Cell
    runs: tuple[RunResult, ...]

    @property
    def values(self) -> list[float]:
        """The metric of every run that is done."""
        return [run.value for run in self.runs if run.value is not None]

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
        return len(self.values) == len(self.runs)

    @property
    def state(self) -> State:
        """The state to tell of where there is no value: the worst one."""
        states = {run.state for run in self.runs}
        return next(state for state in ("failed", "unfinished", "not run", "done") if state in states)

    def count(self, name: str) -> list[int]:
        """One of the counts (`trained_parameters`, ...) of the runs that are done, each number once."""
        return sorted({run.facts["counts"][name] for run in self.runs if run.state == "done"})


@dataclass(frozen=True)
class StudyResult:
    """A study as far as it has come."""

    grid: Grid
    cells: tuple[CellResult, ...]
    references: tuple[CellResult, ...]

    @property
    def runs(self) -> list[RunResult]:
        """Every run, in the order of the table."""
        return [run for cell in (*self.cells, *self.references) for run in cell.runs]

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
    return StudyResult(grid, _read(grid, grid.cells), _read(grid, grid.references))


def _read(grid: Grid, cells: Sequence[Cell]) -> tuple[CellResult, ...]:
    return tuple(CellResult(cell, tuple(_read_run(grid, cell, run) for run in cell.runs)) for cell in cells)


def _read_run(grid: Grid, cell: Cell, run: Run) -> RunResult:
    folder, failure = RunFolder(run.settings.folder), failure_of(grid, run)
    facts = folder.finished()
    if facts is not None:
        for group in facts["scores"]:
            if group["group"] == "all" and cell.metric in group["values"]:
                return RunResult(run, "done", float(group["values"][cell.metric]), facts)
        notes = "; ".join(note for group in facts["scores"] for note in group["notes"])
        why = notes or ("no test set" if not facts["scores"] else "no note says why")
        return RunResult(run, "failed", error=f"it has no {cell.metric} on the test set: {why}")
    if failure.exists():
        return RunResult(run, "failed", error=json.loads(failure.read_text(encoding="utf-8"))["error"])
    return RunResult(run, "unfinished" if folder.settings.exists() else "not run")
