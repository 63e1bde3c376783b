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
        label: row, column and seed, as messages name it.
        of_choice: whether it is there to choose a candidate by, and has no test set.
    """

    label: str
    seed: int
    settings: RunSettings
    of_choice: bool = False


@dataclass(frozen=True)
class Option:
    """One candidate of a cell that chooses by cross-validation.

    Args:
        changes: what it changes in the cell, by dotted key.
        folds: one run per fold, or one with the development set as it is; without a test set.
        runs: the cell's runs, should this one be chosen.
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
        base: the recipe it begins with.
        changes: what it changes there, by dotted key, the seed aside.
        metrics: the test metrics that the table shows; the first one compares cells.
        runs: empty as long as the cell has options and none is chosen.
        options: the candidates to choose from; empty where there is nothing to choose.
        by: the development metric that chooses among them.
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
        """The metric that compares this cell with others."""
        return self.metrics[0]

    @property
    def folds(self) -> Iterator[Run]:
        """The fold runs of every option."""
        for option in self.options:
            yield from option.folds

    @property
    def possible(self) -> Iterator[Run]:
        """Its runs, and before the choice those of every option."""
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
        """How many runs it has, or will have once one option is chosen."""
        return len(self.options[0].runs) if self.options else len(self.runs)


@dataclass(frozen=True)
class Plan:
    """What a grid was made from, so that its numbers can be read where the study file is not.

    Args:
        file: the study file, as the command named it.
        overrides: those of the command line that are for the runs.
        recipes: the base recipes, by their paths.
    """

    file: str
    overrides: tuple[str, ...]
    recipes: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Grid:
    """A study with nothing left to decide but what its cells choose by cross-validation.

    Args:
        folder: where the runs' folders and the report lie.
        cells: row by row.
        references: one per reference, without a column.
        plan: what it was made from.
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
        """Every run that is tested, as far as choices are made, in the order of the table."""
        for cell in self.all_cells:
            yield from cell.runs

    @property
    def folds(self) -> Iterator[Run]:
        """Every run that only serves to choose, in the order of the table."""
        for cell in self.all_cells:
            yield from cell.folds

    @property
    def axis(self) -> str:
        """What the rows are, for the head of a table or the label of a plot."""
        vary = self.settings.vary
        if vary is None:
            return ""
        keys = vary.key if isinstance(vary.key, list) else [vary.key or "value"]
        return vary.label or ", ".join(keys)
