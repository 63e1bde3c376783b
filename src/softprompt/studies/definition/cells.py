"""What a study consists of: runs in cells, cells in a grid."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from softprompt.config import RunSettings
from softprompt.studies.definition.settings import StudySettings


@dataclass(frozen=True)
class Run:
    """One training of a cell.

    Args:
        label: row, column and seed, for messages.
        of_choice: whether the run only serves to choose a candidate, and so has no test set.
    """

    label: str
    seed: int
    settings: RunSettings
    of_choice: bool = False


@dataclass(frozen=True)
class Option:
    """One candidate of a cell that chooses by cross-validation.

    Args:
        changes: in the cell's settings, by dotted key.
        folds: one run per fold, or one with the development set as it is; without a test set.
        runs: the cell's runs if this candidate is chosen.
    """

    name: str
    changes: Mapping[str, Any]
    folds: tuple[Run, ...]
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Cell:
    """One row in one column: the same settings under every seed.

    Args:
        column: an empty text where the study has no columns.
        base: the path of the recipe.
        changes: in the recipe, by dotted key, without the seed.
        metrics: the test metrics that the table shows; the first one compares cells.
        runs: empty as long as the cell has options and none is chosen.
        options: the candidates to choose from; empty where there is nothing to choose.
        by: the development metric that decides.
        chosen: the chosen candidate; empty without one.
    """

    row: str
    column: str
    base: str
    changes: Mapping[str, Any]
    metrics: tuple[str, ...]
    runs: tuple[Run, ...]
    options: tuple[Option, ...] = ()
    by: str = ""
    chosen: str = ""

    @property
    def metric(self) -> str:
        """The metric that compares the cell with others."""
        return self.metrics[0]

    @property
    def folds(self) -> Iterator[Run]:
        """The fold runs of every option."""
        for option in self.options:
            yield from option.folds

    @property
    def possible(self) -> Iterator[Run]:
        """The runs of the cell; before the choice, those of every option."""
        yield from self.runs
        if not self.runs:
            for option in self.options:
                yield from option.runs

    def choose(self, option: Option) -> "Cell":
        """The cell with the runs of one of its options."""
        changes = {**self.changes, **option.changes}
        return replace(self, runs=option.runs, changes=changes, chosen=option.name)

    @property
    def n_runs(self) -> int:
        """The number of runs that the cell has, or will have after the choice."""
        return len(self.options[0].runs) if self.options else len(self.runs)


@dataclass(frozen=True)
class Plan:
    """What a grid was made from, so that its results can be read without the study file.

    Args:
        file: the study file, as the command named it.
        overrides: `key=value` of the command line for the runs.
        recipes: the base recipes by their paths.
    """

    file: str
    overrides: tuple[str, ...]
    recipes: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Grid:
    """A study, in which nothing is left to decide but what cells choose by cross-validation.

    Args:
        folder: of the study; it contains the folders of the runs and the report.
        cells: row by row.
        references: one per reference, without a column.
        plan: what the grid was made from.
    """

    settings: StudySettings
    folder: Path
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]
    references: tuple[Cell, ...]
    plan: Plan

    @property
    def all_cells(self) -> tuple[Cell, ...]:
        """The cells, and the references after them."""
        return (*self.cells, *self.references)

    def each(self, change: Callable[[Cell], Cell]) -> "Grid":
        """The grid with every cell changed by the same function."""
        cells, references = (tuple(map(change, some)) for some in (self.cells, self.references))
        return replace(self, cells=cells, references=references)

    @property
    def runs(self) -> Iterator[Run]:
        """Every run that is tested, in the order of the table; cells that have not chosen have none."""
        for cell in self.all_cells:
            yield from cell.runs

    @property
    def folds(self) -> Iterator[Run]:
        """Every run that only serves to choose, in the order of the table."""
        for cell in self.all_cells:
            yield from cell.folds

    @property
    def n_runs(self) -> int:
        """The number of all runs, those included that depend on a choice still to be made."""
        return sum(cell.n_runs + len(list(cell.folds)) for cell in self.all_cells)

    @property
    def axis(self) -> str:
        """The name of what the rows vary, for tables and plots; empty for named rows."""
        vary = self.settings.vary
        if vary is None:
            return ""
        keys = vary.key if isinstance(vary.key, list) else [vary.key or "value"]
        return vary.label or ", ".join(keys)
