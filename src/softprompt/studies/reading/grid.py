"""From a study file to every run of it, all checked before the first begins."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.config import apply_override, read_mapping
from softprompt.errors import ConfigError, counted
from softprompt.studies.definition.cells import Cell, Grid, Plan
from softprompt.studies.definition.measures import metric_of
from softprompt.studies.definition.published import unshown
from softprompt.studies.definition.settings import (
    SUBSAMPLE,
    Candidate,
    StudySettings,
    Variant,
    filled,
    labelled,
)
from softprompt.studies.reading.mistakes import Mistakes
from softprompt.studies.reading.runs import ChangedRecipe, RunMaker, folder_part
from softprompt.studies.reading.study_file import load_study

MOST_RUNS = 5_000
"""The most runs of one study, those on folds included: every run is checked before the first begins."""


def load_grid(path: Path | str, overrides: Sequence[str] = (), output: Path | None = None) -> Grid:
    """Read a study file and check every run that it asks for.

    Args:
        overrides: `key=value` for all runs; `name`, `seeds`, `subsamples` and `metric` are the study's own.
        output: folder for the study's folder, instead of the file's.

    Raises:
        ConfigError: every mistake at once, with the cells that have it.
    """
    path = Path(path)
    study, of_runs = load_study(path, overrides)
    folder = (output if output is not None else study.output) / study.name
    return _Expansion(study, Plan(path.as_posix(), tuple(of_runs), {}), folder).grid()


def planned_grid(study: StudySettings, plan: Plan, folder: Path) -> Grid:
    """The grid that a plan was written for, without the study file and the recipes.

    Args:
        folder: the study's folder, wherever it lies now.

    Raises:
        ConfigError: what this version refuses in the plan.
    """
    return _Expansion(study, plan, folder).grid()


class _Expansion:
    """Makes the cells of one study and gathers the mistakes in them.

    Args:
        plan: with the recipes that are known; others are read.
    """

    def __init__(self, study: StudySettings, plan: Plan, folder: Path) -> None:
        self._study, self._plan, self._folder = study, plan, folder
        self._recipes = dict(plan.recipes)
        self._mistakes = Mistakes(Path(plan.file))
        self._maker = RunMaker(study, plan.overrides, folder, self._mistakes)

    def grid(self) -> Grid:
        study = self._study
        rows, columns = self._rows(), study.columns or [None]
        self._check_size(rows, columns)
        for override in self._plan.overrides:
            apply_override({}, override)
        made = [self._cell(row, column, i) for i, row in enumerate(rows) for column in columns]
        cells = tuple(cell for cell in made if cell is not None)
        made = [self._cell(reference, None) for reference in study.references]
        references = tuple(cell for cell in made if cell is not None)
        self._mistakes.check_together([*cells, *references])
        if not self._mistakes:
            shown = {(cell.row, cell.column): cell.metrics for cell in (*cells, *references)}
            self._mistakes.add_all(study.name, unshown(study.published, shown))
        if study.chance is True:
            self._mistakes.check_chance(study.name, cells)
        self._mistakes.tell()
        return Grid(
            study,
            self._folder,
            tuple(row.name for row in rows),
            tuple(column.name if column else "" for column in columns),
            cells,
            references,
            Plan(self._plan.file, self._plan.overrides, self._recipes),
        )

    def _check_size(self, rows: Sequence[Variant], columns: Sequence[Variant | None]) -> None:
        study = self._study
        n_draws = len(study.seeds or [None]) * len(study.subsamples or [None])
        n_folds = (study.choose.folds or 1) if study.choose else 0
        n_cells = [(row, len(columns)) for row in rows] + [(reference, 1) for reference in study.references]
        n_runs = 0
        for row, n in n_cells:
            n_candidates = len(self._candidates(row))
            n_runs += n * (n_draws * max(1, n_candidates) + n_folds * n_candidates)
        if n_runs > MOST_RUNS:
            got, expected = counted(n_runs, "run"), f"at most {MOST_RUNS:,}"
            raise ConfigError(self._plan.file, got, expected, "make several studies of it")

    def _rows(self) -> list[Variant]:
        vary = self._study.vary
        if vary is None:
            return self._study.rows
        rows = []
        for label, value in map(labelled, vary.values):
            if isinstance(vary.key, list):
                changes = dict(zip(vary.key, value, strict=True))
            else:
                changes = {} if vary.key is None else {vary.key: value}
            rows.append(Variant(name=label, set=changes))
        return rows

    def _cell(self, row: Variant, column: Variant | None, i: int | None = None) -> Cell | None:
        """A cell, or None where there is a mistake in it, or enough of them in others.

        Args:
            i: the number of the row; None for a reference.
        """
        if self._mistakes.full:
            return None
        of_column = column.name if column else ""
        kind = "reference" if i is None else ""
        name = f"{row.name}, {of_column}" if column else f"{row.name} ({kind})" if kind else row.name
        base = self._base(name, row, column)
        changes = self._changes_of_column(column, i)
        candidates = self._candidates(row)
        self._check_keys(name, row.set, changes, candidates)
        if base is None:
            return None
        changed = ChangedRecipe(
            name,
            "--".join(folder_part(part) for part in (kind, row.name, of_column) if part),
            self._recipes[base],
            {**self._study.set, **row.set, **changes},
            (column.show if column else None) or (),
        )
        runs = () if candidates else self._maker.runs(changed)
        options = tuple(self._maker.option(changed, candidate) for candidate in candidates)
        if not (runs or options) or not all(option.runs and option.folds for option in options):
            return None
        first = (runs or options[0].runs)[0].settings
        metrics = self._maker.metrics(first, changed.show)
        self._mistakes.check_metrics(name, "show" if changed.show else "metric", metrics, first)
        by = (self._study.choose.metric or metric_of(metrics[0])) if self._study.choose and options else ""
        return Cell(row.name, of_column, base, changed.changes, metrics, runs, options, by)

    def _candidates(self, row: Variant) -> Sequence[Candidate]:
        """What a row chooses from; nothing where it does not choose."""
        choose = self._study.choose
        if choose is None:
            return []
        return choose.candidates if row.candidates is None else row.candidates

    def _base(self, name: str, row: Variant, column: Variant | None) -> str | None:
        """The path of a cell's recipe, which is read once; None if it cannot be read."""
        given = [variant.base for variant in (row, column) if variant and variant.base]
        if len(given) > 1:
            self._mistakes.add(name, "base", f"{given[0]} and {given[1]}", "one recipe for each cell")
            return None
        # A relative path stays relative: a report shows `recipes/x.yaml`, not where this checkout lies.
        place = Path(self._plan.file).parent / (given[0] if given else self._study.base)
        path = Path(os.path.normpath(place)).as_posix()
        if path not in self._recipes:
            try:
                raw = read_mapping(Path(path))
            except ConfigError as error:
                self._mistakes.add_all(name, error.problems)
                return None
            if "parts" in raw or "each" in raw:
                do = "train such recipes one by one, and put them side by side with `softprompt compare`"
                got = f"{path}, a recipe over several tasks"
                self._mistakes.add(name, "base", got, "a recipe of one task", do)
                return None
            self._recipes[path] = raw
        return path

    def _changes_of_column(self, column: Variant | None, i: int | None) -> dict[str, Any]:
        """What a column sets, with the value of the i-th row in place of `{value}`."""
        changes, vary = {} if column is None else column.set, self._study.vary
        return dict(changes) if vary is None or i is None else filled(changes, labelled(vary.values[i])[1])

    def _check_keys(
        self,
        name: str,
        of_row: Mapping[str, Any],
        of_column: Mapping[str, Any],
        candidates: Sequence[Candidate],
    ) -> None:
        """Whether one place alone sets what tells cells apart."""
        seeds = [*self._study.seed_keys] if self._study.seeds is not None or candidates else []
        seeds += [SUBSAMPLE] if self._study.subsamples is not None else []
        layers = {
            "the row": list(of_row),
            "the column": list(of_column),
            "a candidate": list(dict.fromkeys(key for candidate in candidates for key in candidate.set)),
            "the seed": seeds,
            "--set": [override.partition("=")[0].strip() for override in self._plan.overrides],
        }
        self._mistakes.check_keys(name, layers, self._study.set)
