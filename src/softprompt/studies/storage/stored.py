"""Results read without run folders: the grid from `study.json`, the runs from a results table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from softprompt.config import parse_as
from softprompt.errors import TrainingError
from softprompt.studies.definition.cells import Cell, Grid, Plan, Run
from softprompt.studies.definition.chance import levels
from softprompt.studies.definition.measures import is_number, result_of, scores_of, unusable
from softprompt.studies.definition.settings import StudySettings
from softprompt.studies.reading.grid import planned_grid
from softprompt.studies.results.study_result import RunResult, StudyResult, gather, judged
from softprompt.studies.storage.table import MOST_TABLE, broken, read_table
from softprompt.untrusted import Unreadable, read_json

KINDS = (".json", ".csv", ".parquet")
"""Endings of results tables."""

PLAN = "plan.json"
"""In a study's folder, what the study was made from with this machine's paths; not to be passed on."""

_STATES = ("done", "failed", "unfinished", "not run")


@dataclass(frozen=True)
class Stored:
    """The content of a results table.

    Args:
        path: of the file.
        runs: the facts of each run, by the name of the run's folder.
        facts: the whole `study.json`; empty for other tables.
    """

    path: Path
    runs: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_stored(path: Path) -> Stored:
    """Read a `study.json`, or a table with a line per run as CSV or Parquet.

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
        TrainingError: the table has no plan.
        ConfigError: what this version refuses in the plan.
    """
    plan = stored.facts.get("plan")
    if not isinstance(plan, dict):
        raise TrainingError(
            str(stored.path), "a results table without its study", "a study.json of this version",
            f"name the study file: softprompt report FILE --from {stored.path.as_posix()}",
        )  # fmt: skip
    try:
        settings = parse_as(plan["study"], StudySettings, f"{stored.path}: plan")
        overrides, recipes = list(map(str, plan["overrides"])), dict(plan["recipes"])
        if not all(isinstance(recipe, dict) for recipe in recipes.values()):
            raise ValueError("recipes that are no mappings")
        made = Plan(str(plan["file"]), tuple(overrides), recipes)
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(str(stored.path), f"a broken plan ({error!r})", "what a study wrote") from None
    grid = planned_grid(settings, made, folder)
    if not grid.cells:
        raise TrainingError(str(stored.path), "a plan without rows", "what a study wrote")
    return grid


def stored_results(grid: Grid, stored: Stored) -> tuple[StudyResult, tuple[str, ...]]:
    """The results of a study from a table alone, without its run folders.

    Returns:
        The results, and the names of the table's runs that are not in the study.
    """
    results = gather(grid.each(lambda cell: _chosen(cell, stored)), lambda cell, run: _run(cell, run, stored))
    chance, missing = (_chance(stored), {}) if "chance" in stored.facts else levels(grid)
    result = replace(results, chance=chance, no_chance=missing)
    names = {run.run.settings.name for run in result.runs}
    return result, tuple(
        name for name, run in stored.runs.items() if name not in names and run["state"] != "not run"
    )


def _chance(stored: Stored) -> Mapping[str, Mapping[str, float]]:
    chance = stored.facts["chance"]
    known = isinstance(chance, dict) and all(isinstance(level, dict) for level in chance.values())
    if not known or not all(is_number(value) for level in chance.values() for value in level.values()):
        raise broken(stored.path, "levels of chance that are no numbers")
    return chance


def _chosen(cell: Cell, stored: Stored) -> Cell:
    """The cell with the runs of the first option that the table has runs of."""
    for option in cell.options:
        if any(run.settings.name in stored.runs for run in option.runs):
            return cell.choose(option)
    return cell


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
        facts = read_json(path, MOST_TABLE)
    except Unreadable as error:
        raise broken(path, str(error)) from None
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
    """A run of `study.json` with its facts in the form of a `result.json`."""
    entry = {"folder": line["folder"], "state": line["state"]}
    entry |= {"error": line.get("error"), "value": line.get("value")}
    if line["state"] == "done":
        facts = result_of(line)
        if wrong := unusable(facts):
            raise ValueError(f"nothing of use as {wrong}")
        no_curve = {"metric": line["best"].get("metric", "loss"), "points": []}
        entry["facts"] = {**facts, "curve": _curve(line.get("curve", no_curve))}
    elif not is_number(line.get("value", 0) or 0):
        raise ValueError(f"{str(line['value'])[:80]!r} as value")
    return entry


def _curve(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """The evaluations of a run; raises ValueError where they are none."""
    points = kept["points"]
    if not isinstance(kept["metric"], str) or not all(map(is_number, chain.from_iterable(points))):
        raise ValueError("a curve without numbers")
    return {"metric": kept["metric"], "points": [(step, value) for step, value in points]}


def _by_folder(path: Path, lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    runs: dict[str, dict[str, Any]] = {}
    for line in lines:
        folder = str(line["folder"])
        if line["state"] not in _STATES:
            raise broken(path, f"{line['state']!r} as the state of {folder}")
        if line["state"] == "done" and not all(map(is_number, scores_of(line["facts"]).values())):
            raise broken(path, f"a score of {folder} that is no finite number")
        if folder in runs:
            raise broken(path, f"{folder} more than once")
        runs[folder] = line
    return runs
