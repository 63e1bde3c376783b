"""From a study file to every run of it, all checked before the first begins."""

import copy
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.config import RunSettings, apply_override, parse_run, put, read_mapping
from softprompt.data import check_splits
from softprompt.errors import ConfigError
from softprompt.studies.definition.cells import Cell, Grid, Option, Plan, Run
from softprompt.studies.definition.measures import metric_of
from softprompt.studies.definition.mistakes import Mistakes
from softprompt.studies.definition.published import unshown
from softprompt.studies.definition.settings import (
    SUBSAMPLE,
    Candidate,
    StudySettings,
    Variant,
    filled,
    labelled,
)
from softprompt.studies.definition.study_file import load_study

MOST_RUNS = 5_000
"""The most runs of one study, those on folds included: every run is checked before the first begins."""


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


def slug(name: str) -> str:
    """A name that every file system takes, e.g. `p-tuning-v2` for `P-Tuning v2`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.") or "unnamed"


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
        self._mistakes = Mistakes(path)

    def grid(self) -> Grid:
        study = self._study
        rows, columns = self._rows(), study.columns or [None]
        self._check_size(rows, columns)
        for override in self._overrides:
            apply_override({}, override)
        cells = [self._cell(i, row, column) for i, row in enumerate(rows) for column in columns]
        references = [
            self._cell(i, reference, None, "reference") for i, reference in enumerate(study.references)
        ]
        whole, levels = (tuple(cell for cell in some if cell is not None) for some in (cells, references))
        self._mistakes.check_together([*whole, *levels])
        if not self._mistakes:
            shown = {(cell.row, cell.column): cell.metrics for cell in (*whole, *levels)}
            self._mistakes.add_all(study.name, unshown(study.published, shown))
        if study.chance is True:
            self._mistakes.check_chance(study.name, whole)
        self._mistakes.tell()
        return Grid(
            study,
            self._folder,
            tuple(row.name for row in rows),
            tuple(column.name if column else "" for column in columns),
            whole,
            levels,
            Plan(self._path.as_posix(), tuple(self._overrides), self._recipes),
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
            got, expected = f"{n_runs:,} runs", f"at most {MOST_RUNS:,}"
            raise ConfigError(str(self._path), got, expected, "make several studies of it")

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
        """A cell, or None where there is a mistake in it, or enough of them in others."""
        if self._mistakes.full:
            return None
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
        where = "show" if column and column.show else "metric"
        self._mistakes.check_metrics(name, where, metrics, first.settings)
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
                draw_name = [] if subsample is None else [f"subsample {subsample}"]
                label = ", ".join([name, *draw_name, f"seed {seed}"])
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
        add = self._mistakes.add
        if data.folds is not None:
            got = f"both data.folds ({data.folds}) and choose"
            expected = "choose alone, which says how many folds there are"
            add(name, "data.folds", got, expected, "leave it out")
        if choose.folds is None and not (data.dev or data.dev_share or data.dev_per_class):
            expected = "records by which candidates can be chosen"
            add(name, "data.dev", "no development records", expected, "give data.dev or choose.folds")
        if by not in ("loss", *settings.metrics):
            expected = f"loss or a metric of the run ({', '.join(settings.metrics)})"
            add(name, "choose.metric", repr(by), expected)
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

    def _base(self, name: str, row: Variant, column: Variant | None) -> str | None:
        """The recipe of a cell, read once; None if it cannot be read."""
        given = [variant.base for variant in (row, column) if variant and variant.base]
        if len(given) > 1:
            self._mistakes.add(name, "base", f"{given[0]} and {given[1]}", "one recipe for each cell")
            return None
        # Relative stays relative: a report shows `recipes/x.yaml`, not where this checkout lies.
        place = self._path.parent / (given[0] if given else self._study.base)
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
        """Whether one place alone sets what tells cells apart."""
        seeds = [*self._study.seed_keys] if self._study.seeds is not None or candidates else []
        seeds += [SUBSAMPLE] if self._study.subsamples is not None else []
        layers = {
            "the row": list(of_row),
            "the column": list(of_column),
            "a candidate": list(dict.fromkeys(key for candidate in candidates for key in candidate.set)),
            "the seed": seeds,
            "--set": [override.partition("=")[0].strip() for override in self._overrides],
        }
        self._mistakes.check_keys(name, layers, self._study.set)

    def _settings(self, name: str, base: str, changes: Mapping[str, Any]) -> RunSettings | None:
        raw = copy.deepcopy(dict(self._recipes[base]))
        with self._mistakes.gathered(name):
            for key, value in changes.items():
                put(raw, key, copy.deepcopy(value))
            for override in self._overrides:
                apply_override(raw, override)
            return parse_run(raw, where="")
        return None

    def _check_data(self, name: str, settings: RunSettings) -> None:
        """What is wrong with the data settings, as far as no file has to be read for it."""
        with self._mistakes.gathered(name):
            check_splits(settings.data)
