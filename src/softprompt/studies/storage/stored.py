"""A study read back from what it left: the grid from `study.json`, the runs from a results table."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from softprompt.config import parse_as
from softprompt.errors import TrainingError
from softprompt.studies.definition.cells import Cell, Grid, Plan, Run
from softprompt.studies.definition.chance import levels
from softprompt.studies.definition.grid import planned_grid
from softprompt.studies.definition.measures import result_of, scores_of
from softprompt.studies.definition.settings import StudySettings
from softprompt.studies.results.study_result import CellResult, RunResult, StudyResult, judged
from softprompt.studies.storage.table import broken, read_table

KINDS = (".json", ".csv", ".parquet")
"""Endings of results tables."""

PLAN = "plan.json"
"""In a study's folder, what the study was made from with this machine's paths; not to be passed on."""

_STATES = ("done", "failed", "unfinished", "not run")


@dataclass(frozen=True)
class Stored:
    """A results table.

    Args:
        path: its file.
        runs: what it says of each run, by the name of the run's folder.
        facts: all of a `study.json`; empty for other tables.
    """

    path: Path
    runs: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_stored(path: Path) -> Stored:
    """A `study.json`, or a table with a line per run as CSV or Parquet.

    Raises:
        TrainingError: the file is missing or broken, or is no results table.
    """
    if path.suffix not in KINDS:
        raise TrainingError(str(path), f"a file of kind '{path.suffix}'", f"one of {', '.join(KINDS)}")
    if not path.is_file():
        raise TrainingError(str(path), "no such file", "a results table of a study")
    if path.suffix == ".json":
        facts = _read_json(path)
        return Stored(path, _of_json(path, facts), facts)
    return Stored(path, _by_folder(path, read_table(path)))


def planned(stored: Stored, folder: Path) -> Grid:
    """The grid that a `study.json` was written for.

    Args:
        folder: the study's folder.

    Raises:
        TrainingError: the table holds no plan.
        ConfigError: what this version refuses in it.
    """
    plan = stored.facts.get("plan")
    if not isinstance(plan, dict):
        raise TrainingError(
            str(stored.path), "a results table without its study", "a study.json of this version",
            f"name the study file: softprompt report FILE --from {stored.path.as_posix()}",
        )  # fmt: skip
    try:
        settings = parse_as(plan["study"], StudySettings, f"{stored.path}: plan")
        made = Plan(str(plan["file"]), tuple(plan["overrides"]), dict(plan["recipes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(str(stored.path), f"a broken plan ({error!r})", "what a study wrote") from None
    return planned_grid(settings, made, folder)


def stored_results(grid: Grid, stored: Stored) -> tuple[StudyResult, tuple[str, ...]]:
    """A study's results from a table alone; no run folder is looked at.

    Returns:
        The results, and the runs of the table that the study does not ask for.
    """
    cells = tuple(_read(cell, stored) for cell in grid.cells)
    references = tuple(_read(cell, stored) for cell in grid.references)
    chance, missing = levels(grid) if "chance" not in stored.facts else (stored.facts["chance"], {})
    whole = replace(
        grid, cells=tuple(cell.cell for cell in cells), references=tuple(cell.cell for cell in references)
    )
    result = StudyResult(whole, cells, references, chance, missing)
    asked = {run.run.settings.name for run in result.runs}
    return result, tuple(
        name for name, run in stored.runs.items() if name not in asked and run["state"] != "not run"
    )


def _read(cell: Cell, stored: Stored) -> CellResult:
    for option in cell.options:
        if not cell.chosen and any(run.settings.name in stored.runs for run in option.runs):
            changes = {**cell.changes, **option.changes}
            cell = replace(cell, runs=option.runs, changes=changes, chosen=option.name)
    runs = tuple(_run(cell, run, stored) for run in cell.runs)
    folds = tuple(tuple(_run(cell, run, stored) for run in option.folds) for option in cell.options)
    return CellResult(cell, runs, folds)


def _run(cell: Cell, run: Run, stored: Stored) -> RunResult:
    line = stored.runs.get(run.settings.name)
    if line is None:
        return RunResult(run, "not run", stored=True)
    if line["state"] != "done":
        return RunResult(run, line["state"], error=str(line.get("error") or ""), stored=True)
    if run.of_choice:
        return RunResult(run, "done", line["value"], line["facts"], stored=True)
    return replace(judged(run, cell.metric, line["facts"]), stored=True)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise broken(path, f"broken JSON ({error})") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("cells"), list):
        raise broken(path, "JSON without cells")
    return facts


def _of_json(path: Path, facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    lines = []
    try:
        for cell in (*facts["cells"], *facts.get("references", [])):
            lines += cell["runs"]
            for candidate in cell.get("choice", {}).get("candidates", []):
                lines += candidate["runs"]
        return _by_folder(path, list(map(_of_run, lines)))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise broken(path, f"a cell or run without what it should have ({error!r})") from None


def _of_run(line: Mapping[str, Any]) -> dict[str, Any]:
    """A run of `study.json` as `result.json` would say it."""
    found = {"folder": line["folder"], "state": line["state"]}
    found |= {"error": line.get("error"), "value": line.get("value")}
    if line["state"] == "done":
        no_curve = {"metric": line["best"]["metric"], "points": []}
        found["facts"] = {**result_of(line), "curve": line.get("curve", no_curve)}
    return found


def _by_folder(path: Path, lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        folder = str(line["folder"])
        if line["state"] not in _STATES:
            raise broken(path, f"{line['state']!r} as the state of {folder}")
        if line["state"] == "done" and not all(map(_is_finite, scores_of(line["facts"]).values())):
            raise broken(path, f"a score of {folder} that is no finite number")
        if folder in found:
            raise broken(path, f"{folder} more than once")
        found[folder] = line
    return found


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
