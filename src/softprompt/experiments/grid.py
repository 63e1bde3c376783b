"""From a study file to every run of it, all checked before the first begins."""

import copy
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.config import RunSettings, apply_override, parse_run, read_mapping
from softprompt.errors import ConfigError, problem
from softprompt.experiments.settings import (
    PLACEHOLDER,
    StudySettings,
    Variant,
    labelled,
    load_study,
)


@dataclass(frozen=True)
class Run:
    """One training of a cell.

    Args:
        label: row, column and seed, as messages name it.
    """

    label: str
    seed: int
    settings: RunSettings


@dataclass(frozen=True)
class Cell:
    """One row in one column: the same settings under every seed.

    Args:
        column: an empty text where the study has no columns.
        base: the recipe it begins with.
        changes: what it changes there, by dotted key, the seed aside.
        metric: the test metric that the table shows.
    """

    row: str
    column: str
    base: str
    changes: Mapping[str, Any]
    metric: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Grid:
    """A study with nothing left to decide.

    Args:
        folder: where the runs' folders and the report lie.
        cells: row by row.
        references: one per reference, without a column.
    """

    settings: StudySettings
    folder: Path
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]
    references: tuple[Cell, ...]

    @property
    def runs(self) -> Iterator[Run]:
        """Every run, in the order of the table."""
        for cell in (*self.cells, *self.references):
            yield from cell.runs

    @property
    def axis(self) -> str:
        """What the rows are, for the head of a table or the label of a plot."""
        vary = self.settings.vary
        if vary is None:
            return ""
        keys = vary.key if isinstance(vary.key, list) else [vary.key or "value"]
        return vary.label or ", ".join(keys)


def load_grid(path: Path | str, overrides: Sequence[str] = (), output: Path | None = None) -> Grid:
    """Read a study file and check every run that it asks for.

    Args:
        overrides: `key=value` for all runs; `name`, `seeds` and `metric` are the study's own.
        output: folder for the study's folder, instead of the file's.

    Raises:
        ConfigError: every mistake at once, with the cells that it is in.
    """
    path = Path(path)
    study, of_runs = load_study(path, overrides)
    folder = (output if output is not None else study.output) / study.name
    return _Expansion(study, path, of_runs, folder).grid()


class _Expansion:
    """Makes the cells of one study, gathering mistakes on the way."""

    def __init__(self, study: StudySettings, path: Path, overrides: Sequence[str], folder: Path) -> None:
        self._study, self._path, self._overrides, self._folder = study, path, overrides, folder
        self._recipes: dict[str, dict[str, Any]] = {}
        self._mistakes: dict[str, list[str]] = {}  # each with the cells that it is in

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
        if self._mistakes:
            raise ConfigError.several([self._line(mistake) for mistake in self._mistakes])
        return Grid(
            study,
            self._folder,
            tuple(row.name for row in rows),
            tuple(column.name if column else "" for column in columns),
            tuple(cell for cell in cells if cell is not None),
            tuple(cell for cell in references if cell is not None),
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
        study = self._study
        name = f"{row.name}, {column.name}" if column else f"{row.name} ({kind})" if kind else row.name
        base = self._base(name, row, column)
        of_column = self._of_column(i, column, kind)
        self._check_keys(name, row.set, of_column)
        changes = {**study.set, **row.set, **of_column}
        runs = []
        for seed in study.seeds if study.seeds is not None else [None]:
            seeds = {} if seed is None else dict.fromkeys(study.seed_keys, seed)
            settings = self._settings(name, base, {**changes, **seeds}) if base else None
            if settings is None:
                return None
            seed = settings.training.seed if seed is None else seed
            parts = [kind, row.name, column.name if column else ""]
            folder = "--".join(slug(part) for part in parts if part) + f"--seed-{seed}"
            settings = settings.model_copy(update={"name": folder, "output": self._folder})
            runs.append(Run(f"{name}, seed {seed}", seed, settings))
        metrics = runs[0].settings.metrics
        metric = study.metric or (metrics[0] if metrics else "")
        if metric not in metrics:
            where, got = "metric", repr(study.metric) if study.metric else "nothing"
            self._note(name, problem(where, got, f"one of the metrics of the run ({', '.join(metrics)})"))
        column_name = column.name if column else ""
        return Cell(row.name, column_name, str(base), changes, metric, tuple(runs))

    def _base(self, name: str, row: Variant, column: Variant | None) -> str | None:
        """The recipe of a cell, read once; None if it cannot be read."""
        given = [variant.base for variant in (row, column) if variant and variant.base]
        if len(given) > 1:
            self._note(name, problem("base", f"{given[0]} and {given[1]}", "one recipe for a cell"))
            return None
        # Relative stays relative: a report shows `recipes/x.yaml`, not where this checkout lies.
        place = self._path.parent / (given[0] if given else self._study.base)
        path = Path(os.path.normpath(place)).as_posix()
        if path not in self._recipes:
            try:
                self._recipes[path] = read_mapping(Path(path))
            except ConfigError as error:
                self._note(name, str(error))
                return None
        return path

    def _of_column(self, i: int, column: Variant | None, kind: str) -> dict[str, Any]:
        """What a column sets, with the row's value in place of `{value}`."""
        if column is None:
            return {}
        vary = self._study.vary
        if vary is None or kind:
            return dict(column.set)
        _, value = labelled(vary.values[i])
        return _filled(column.set, value)

    def _check_keys(self, name: str, of_row: Mapping[str, Any], of_column: Mapping[str, Any]) -> None:
        """Nothing that tells cells apart may be overwritten, or two cells would be the same run."""
        seeds = self._study.seed_keys if self._study.seeds is not None else []
        overrides = [override.partition("=")[0].strip() for override in self._overrides]
        layers = {"the row": of_row, "the column": of_column, "the seed": seeds, "--set": overrides}
        for i, (later, keys) in enumerate(layers.items()):
            for earlier, others in list(layers.items())[:i]:
                for key in keys:
                    for other in others:
                        if other == key or other.startswith(f"{key}."):
                            self._note(name, problem(key, f"set by {later} and by {earlier}", "one of them"))
        for key in (*self._study.set, *of_row, *of_column, *overrides):
            if key in ("name", "output"):
                self._note(name, problem(key, "set for a run", "none: the study names its runs' folders"))

    def _settings(self, name: str, base: str, changes: Mapping[str, Any]) -> RunSettings | None:
        raw = copy.deepcopy(self._recipes[base])
        try:
            for key, value in changes.items():
                put(raw, key, copy.deepcopy(value))
            for override in self._overrides:
                apply_override(raw, override)
            return parse_run(raw, where="")
        except ConfigError as error:
            for line in str(error).splitlines():
                self._note(name, line.removeprefix(": "))
        return None

    def _check_together(self, cells: Sequence[Cell]) -> None:
        folders: dict[str, str] = {}
        for run in (run for cell in cells for run in cell.runs):
            first = folders.setdefault(run.settings.name, run.label)
            if first != run.label:
                expected = "names that differ in letters or digits"
                self._note(run.label, problem("name", f"the folder of {first}", expected))
        metrics: dict[str, Cell] = {}
        for cell in cells:
            first = metrics.setdefault(cell.column, cell)
            if first.metric != cell.metric:
                got = f"{cell.metric} here and {first.metric} in {first.row}"
                name = f"{cell.row}, {cell.column}" if cell.column else cell.row
                self._note(name, problem("metric", got, "one metric in a column", "name it in metric"))

    def _note(self, cell: str, mistake: str) -> None:
        cells = self._mistakes.setdefault(mistake, [])
        if cell not in cells:
            cells.append(cell)

    def _line(self, mistake: str) -> str:
        first, *others = self._mistakes[mistake]
        more = f" (and {len(others)} more)" if others else ""
        return f"{self._path}: {first}{more}: {mistake}"


def put(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key in a nested mapping, making the sections on its way.

    Raises:
        ConfigError: a part of the key is empty, or names a value where a section is needed.
    """
    *parents, last = key.split(".")
    if not all((*parents, last)):
        raise ConfigError("set", repr(key), "a dotted key, e.g. training.learning_rate")
    node = raw
    for parent in parents:
        node[parent] = {} if node.get(parent) is None else node[parent]
        node = node[parent]
        if not isinstance(node, dict):
            raise ConfigError("set", repr(key), f"'{parent}' to hold settings, and it holds a value")
    node[last] = value


def slug(name: str) -> str:
    """A name that every file system takes, e.g. `p-tuning-v2` for `P-Tuning v2`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.") or "unnamed"


def _filled(value: Any, filling: Any) -> Any:
    """The same structure with `{value}` filled in; alone it keeps the value's own type."""
    if isinstance(value, dict):
        return {key: _filled(inner, filling) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, filling) for inner in value]
    if value == PLACEHOLDER:
        return filling
    return value.replace(PLACEHOLDER, str(filling)) if isinstance(value, str) else value
