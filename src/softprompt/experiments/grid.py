"""From a study file to every run of it, all checked before the first begins."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.config import RunSettings, apply_override, parse_run, put, read_mapping
from softprompt.data.splits import check as check_data
from softprompt.errors import ConfigError, Problem
from softprompt.experiments.cells import Cell, Grid, Option, Plan, Run
from softprompt.experiments.chance import no_majority
from softprompt.experiments.keys import filled, slug
from softprompt.experiments.measures import GROUPS, group_of, metric_of
from softprompt.experiments.published import unshown
from softprompt.experiments.settings import (
    SUBSAMPLE,
    Candidate,
    StudySettings,
    Variant,
    labelled,
    load_study,
)


def load_grid(path: Path | str, overrides: Sequence[str] = (), output: Path | None = None) -> Grid:
    """Read a study file and check every run that it asks for.

    Args:
        overrides: `key=value` for all runs; `name`, `seeds`, `subsamples` and `metric` are the study's own.
        output: folder for the study's folder, instead of the file's.

    Raises:
        ConfigError: every mistake at once, with the cells that it is in.
    """
    path = Path(path)
    study, of_runs = load_study(path, overrides)
    folder = (output if output is not None else study.output) / study.name
    return _Expansion(study, path, of_runs, folder).grid()


def planned_grid(study: StudySettings, plan: Plan, folder: Path) -> Grid:
    """The grid that a plan was written for, without the study file and the recipes.

    Args:
        folder: the study's folder, wherever it lies now.

    Raises:
        ConfigError: what this version refuses in it.
    """
    return _Expansion(study, Path(plan.file), plan.overrides, folder, plan.recipes).grid()


class _Expansion:
    """Makes the cells of one study, gathering mistakes on the way."""

    def __init__(
        self,
        study: StudySettings,
        path: Path,
        overrides: Sequence[str],
        folder: Path,
        recipes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._study, self._path, self._overrides, self._folder = study, path, overrides, folder
        self._recipes: dict[str, Mapping[str, Any]] = dict(recipes or {})
        self._mistakes: dict[Problem, list[str]] = {}  # each with the cells that it is in

    def grid(self) -> Grid:
        study = self._study
        rows, columns = self._rows(), study.columns or [None]
        for override in self._overrides:
            apply_override({}, override)
        cells = [self._cell(i, row, column) for i, row in enumerate(rows) for column in columns]
        references = [
            self._cell(i, reference, None, "reference") for i, reference in enumerate(study.references)
        ]
        found = [cell for cell in (*cells, *references) if cell is not None]
        self._check_together(found)
        shown = {(cell.row, cell.column): cell.metrics for cell in found}
        for mistake in [] if self._mistakes else unshown(study.published, shown):
            self._note(study.name, mistake)
        if study.chance is True:
            self._check_chance([cell for cell in cells if cell is not None])
        if self._mistakes:
            raise ConfigError.several([self._line(mistake) for mistake in self._mistakes])
        return Grid(
            study,
            self._folder,
            tuple(row.name for row in rows),
            tuple(column.name if column else "" for column in columns),
            tuple(cell for cell in cells if cell is not None),
            tuple(cell for cell in references if cell is not None),
            Plan(self._path.as_posix(), tuple(self._overrides), self._recipes),
        )

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

    def _cell(self, i: int, row: Variant, column: Variant | None, kind: str = "") -> Cell | None:
        """A cell, or None where there is a mistake in it."""
        name = f"{row.name}, {column.name}" if column else f"{row.name} ({kind})" if kind else row.name
        base = self._base(name, row, column)
        of_column = self._of_column(i, column, kind)
        candidates = self._candidates(row)
        self._check_keys(name, row.set, of_column, candidates)
        if base is None:
            return None
        changes = {**self._study.set, **row.set, **of_column}
        parts = (kind, row.name, column.name if column else "")
        stem = "--".join(slug(part) for part in parts if part)
        runs = () if candidates else self._runs(name, base, changes, stem)
        options = [self._option(name, base, changes, stem, column, candidate) for candidate in candidates]
        first = next((some[0] for some in (runs, *(option.runs for option in options)) if some), None)
        if first is None or not all(option.runs and option.folds for option in options):
            return None
        metrics = self._metrics(first.settings, column)
        self._check_metrics(name, "show" if column and column.show else "metric", metrics, first.settings)
        by = (self._study.choose.metric or metric_of(metrics[0])) if self._study.choose and options else ""
        return Cell(row.name, column.name if column else "", base, changes, metrics, runs, tuple(options), by)

    def _candidates(self, row: Variant) -> Sequence[Candidate]:
        """What a row chooses from; nothing where it does not choose."""
        choose = self._study.choose
        if choose is None:
            return []
        return choose.candidates if row.candidates is None else row.candidates

    def _runs(self, name: str, base: str, changes: Mapping[str, Any], stem: str) -> tuple[Run, ...]:
        """A run per subsample and seed; none where there is a mistake."""
        study, runs = self._study, []
        for subsample in study.subsamples if study.subsamples is not None else [None]:
            draw = {} if subsample is None else {SUBSAMPLE: subsample}
            for seed in study.seeds if study.seeds is not None else [None]:
                seeds = {} if seed is None else dict.fromkeys(study.seed_keys, seed)
                settings = self._settings(name, base, {**changes, **draw, **seeds})
                if settings is None:
                    return ()
                self._check_data(name, settings)
                seed = settings.training.seed if seed is None else seed
                of_draw = "" if subsample is None else f"--subsample-{subsample}"
                place = {"name": f"{stem}{of_draw}--seed-{seed}", "output": self._folder}
                label = (
                    f"{name}, seed {seed}"
                    if subsample is None
                    else (f"{name}, subsample {subsample}, seed {seed}")
                )
                runs.append(Run(label, seed, settings.model_copy(update=place)))
        return tuple(runs)

    def _option(
        self,
        cell: str,
        base: str,
        changes: Mapping[str, Any],
        stem: str,
        column: Variant | None,
        candidate: Candidate,
    ) -> Option:
        """A candidate with its runs; without some where there is a mistake."""
        name, stem = f"{cell}, {candidate.name}", f"{stem}--{slug(candidate.name)}"
        changes = {**changes, **candidate.set}
        runs = self._runs(name, base, changes, stem)
        folds = self._folds(name, base, changes, stem, column) if runs else ()
        return Option(candidate.name, candidate.set, folds, runs)

    def _folds(
        self, name: str, base: str, changes: Mapping[str, Any], stem: str, column: Variant | None
    ) -> tuple[Run, ...]:
        """A run per fold, or one with the development set; no test sets. None where there is a mistake."""
        choose = self._study.choose
        assert choose is not None
        by_dev = {"data.join_dev": False} if choose.folds is None else {}
        settings = self._settings(
            name, base, {**changes, **by_dev, **dict.fromkeys(self._study.seed_keys, choose.seed)}
        )
        if settings is None:
            return ()
        data, by = settings.data, choose.metric or metric_of(self._metrics(settings, column)[0])
        if data.folds is not None:
            got = f"both data.folds ({data.folds}) and choose"
            self._note(
                name,
                Problem(
                    "data.folds", got, "choose alone, which says how many folds there are", "leave it out"
                ),
            )
        if choose.folds is None and not (data.dev or data.dev_share or data.dev_per_class):
            expected = "records by which candidates can be chosen"
            self._note(
                name, Problem("data.dev", "no development records", expected, "give data.dev or choose.folds")
            )
        if by not in ("loss", *settings.metrics):
            expected = f"loss or a metric of the run ({', '.join(settings.metrics)})"
            self._note(name, Problem("choose.metric", repr(by), expected))
        training = settings.training.model_copy(update={"select": by})
        runs = []
        for fold in range(choose.folds or 1):
            # Nothing that is chosen may have seen the test set, also where it is a share or generated.
            none = {"test": None, "test_size": None if data.test is not None else 0}
            cut = none if choose.folds is None else {**none, "folds": choose.folds, "fold": fold}
            of_fold = {
                "name": f"{stem}--fold-{fold}" if choose.folds else f"{stem}--dev",
                "output": self._folder / "folds",
                "data": data.model_copy(update=cut),
                "training": training,
            }
            label = f"{name}, fold {fold + 1} of {choose.folds}" if choose.folds else f"{name}, to choose"
            runs.append(Run(label, choose.seed, settings.model_copy(update=of_fold), of_choice=True))
        self._check_data(name, runs[0].settings)
        return tuple(runs)

    def _metrics(self, settings: RunSettings, column: Variant | None) -> tuple[str, ...]:
        """What the table shows of a cell; an empty text where its runs have no metric."""
        if column is not None and column.show:
            return tuple(column.show)
        return (self._study.metric or next(iter(settings.metrics), ""),)

    def _check_metrics(self, name: str, where: str, shown: Sequence[str], settings: RunSettings) -> None:
        for metric in shown:
            known = f"one of the metrics of the run ({', '.join(settings.metrics)})"
            if metric_of(metric) in settings.metrics and group_of(metric) not in ("all", *GROUPS):
                known = " or ".join(f"{metric_of(metric)}@{group}" for group in GROUPS)
            if metric_of(metric) not in settings.metrics or group_of(metric) not in ("all", *GROUPS):
                self._note(name, Problem(where, repr(metric) if metric else "nothing", known))

    def _base(self, name: str, row: Variant, column: Variant | None) -> str | None:
        """The recipe of a cell, read once; None if it cannot be read."""
        given = [variant.base for variant in (row, column) if variant and variant.base]
        if len(given) > 1:
            self._note(name, Problem("base", f"{given[0]} and {given[1]}", "one recipe for each cell"))
            return None
        # Relative stays relative: a report shows `recipes/x.yaml`, not where this checkout lies.
        place = self._path.parent / (given[0] if given else self._study.base)
        path = Path(os.path.normpath(place)).as_posix()
        if path not in self._recipes:
            try:
                raw = read_mapping(Path(path))
            except ConfigError as error:
                self._note_all(name, error)
                return None
            if "parts" in raw or "each" in raw:
                do = "train such recipes one by one, and put them side by side with `softprompt compare`"
                self._note(
                    name, Problem("base", f"{path}, a recipe over several tasks", "a recipe of one task", do)
                )
                return None
            self._recipes[path] = raw
        return path

    def _of_column(self, i: int, column: Variant | None, kind: str) -> dict[str, Any]:
        """What a column sets, with the row's value in place of `{value}`."""
        if column is None:
            return {}
        vary = self._study.vary
        if vary is None or kind:
            return dict(column.set)
        _, value = labelled(vary.values[i])
        return filled(column.set, value)

    def _check_keys(
        self,
        name: str,
        of_row: Mapping[str, Any],
        of_column: Mapping[str, Any],
        candidates: Sequence[Candidate],
    ) -> None:
        """Nothing that tells cells apart may be overwritten, or two cells would be the same run."""
        seeds = [*self._study.seed_keys] if self._study.seeds is not None or candidates else []
        seeds += [SUBSAMPLE] if self._study.subsamples is not None else []
        overrides = [override.partition("=")[0].strip() for override in self._overrides]
        of_candidates = dict.fromkeys(key for candidate in candidates for key in candidate.set)
        layers = {
            "the row": of_row,
            "the column": of_column,
            "a candidate": of_candidates,
            "the seed": seeds,
            "--set": overrides,
        }
        for i, (later, keys) in enumerate(layers.items()):
            for earlier, others in list(layers.items())[:i]:
                for key in keys:
                    for other in others:
                        if other == key or other.startswith(f"{key}."):
                            self._note(
                                name,
                                Problem(
                                    key,
                                    f"a value from {later} and another from {earlier}",
                                    "one place that sets it",
                                ),
                            )
        for key in (*self._study.set, *of_row, *of_column, *of_candidates, *overrides):
            if key in ("name", "output"):
                self._note(
                    name,
                    Problem(key, "a value for a run", "no value, since the study names its runs' folders"),
                )

    def _settings(self, name: str, base: str, changes: Mapping[str, Any]) -> RunSettings | None:
        raw = copy.deepcopy(dict(self._recipes[base]))
        try:
            for key, value in changes.items():
                put(raw, key, copy.deepcopy(value))
            for override in self._overrides:
                apply_override(raw, override)
            return parse_run(raw, where="")
        except ConfigError as error:
            self._note_all(name, error)
        return None

    def _check_data(self, name: str, settings: RunSettings) -> None:
        """What is wrong with the data settings, as far as no file has to be read for it."""
        try:
            check_data(settings.data)
        except ConfigError as error:
            self._note_all(name, error)

    def _check_together(self, cells: Sequence[Cell]) -> None:
        folders: dict[str, str] = {}
        for run in (run for cell in cells for run in (*cell.folds, *cell.possible)):
            first = folders.setdefault(run.settings.name, run.label)
            if first != run.label:
                expected = "names that differ in letters or digits"
                self._note(run.label, Problem("name", f"the same folder as {first}", expected))
        metrics: dict[str, Cell] = {}
        for cell in cells:
            first = metrics.setdefault(cell.column, cell)
            if first.metric != cell.metric:
                got = f"{cell.metric} here and {first.metric} in {first.row}"
                name = f"{cell.row}, {cell.column}" if cell.column else cell.row
                self._note(name, Problem("metric", got, "one metric in a column", "name one in metric"))

    def _check_chance(self, cells: Sequence[Cell]) -> None:
        for column in dict.fromkeys(cell.column for cell in cells):
            mistake = no_majority([cell for cell in cells if cell.column == column])
            if mistake:
                self._note(column or self._study.name, mistake)

    def _note_all(self, cell: str, error: ConfigError) -> None:
        for one in error.problems:
            assert isinstance(one, Problem)
            self._note(cell, one)

    def _note(self, cell: str, mistake: Problem) -> None:
        cells = self._mistakes.setdefault(mistake, [])
        if cell not in cells:
            cells.append(cell)

    def _line(self, mistake: Problem) -> Problem:
        first, *others = self._mistakes[mistake]
        more = f" (and {len(others)} more)" if others else ""
        return mistake.inside(f"{self._path}: {first}{more}")
