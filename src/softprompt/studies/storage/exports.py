"""The results of a study as JSON: `study.json`."""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from softprompt.files import without_folders
from softprompt.studies.comparisons import rows
from softprompt.studies.definition.cells import Grid
from softprompt.studies.definition.choosing import mean_score
from softprompt.studies.definition.measures import FACTS, fact_of, higher_is_better
from softprompt.studies.results.curves import curve_of
from softprompt.studies.results.study_result import CellResult, RunResult, StudyResult


def as_json(result: StudyResult, command: str) -> dict[str, Any]:
    """Everything that is known of the study, as JSON values.

    Args:
        command: the command line that makes the study.
    """
    grid = result.grid
    return {
        "name": grid.settings.name,
        "command": command,
        "axis": grid.axis,
        "rows": list(grid.rows),
        "columns": list(grid.columns),
        "seeds": grid.settings.seeds,
        "seed_keys": grid.settings.seed_keys,
        "subsamples": grid.settings.subsamples,
        "cells": [_cell_json(result, cell) for cell in result.cells],
        "references": [_cell_json(result, cell) for cell in result.references],
        "chance": {column: dict(level) for column, level in result.chance.items()},
        **rows.as_json(result),
        "plan": _plan_json(grid),
    }


def passed_on(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What `as_json` made, without this machine's folders.

    The plan's paths change together, so that the plan still describes the study. A plan in which two recipes
    would get the same name is left out.
    """
    found = without_folders({key: value for key, value in facts.items() if key != "plan"})
    plan = facts["plan"]
    file = without_folders(plan["file"])
    names = {
        _joined(plan["file"], base): _joined(file, without_folders(base)) for base in _bases(plan["study"])
    }
    recipes = {names.get(path, path): without_folders(recipe) for path, recipe in plan["recipes"].items()}
    if len(recipes) == len(plan["recipes"]):
        study, overrides = without_folders(plan["study"]), without_folders(plan["overrides"])
        found["plan"] = {"file": file, "overrides": overrides, "study": study, "recipes": recipes}
    return found


def _bases(study: Any) -> Iterator[str]:
    """Every recipe that a study's settings name."""
    if isinstance(study, Mapping):
        for key, value in study.items():
            if key == "base" and isinstance(value, str):
                yield value
            yield from _bases(value)
    elif isinstance(study, list):
        for part in study:
            yield from _bases(part)


def _joined(file: str, base: str) -> str:
    """The path of a recipe as `Plan.recipes` has it."""
    return Path(os.path.normpath(Path(file).parent / base)).as_posix()


def _plan_json(grid: Grid) -> dict[str, Any]:
    """What the study was made from, for `stored.planned`."""
    plan, settings = grid.plan, grid.settings.model_dump(exclude_unset=True)
    return _plain(
        {"file": plan.file, "overrides": plan.overrides, "study": settings, "recipes": plan.recipes}
    )


def _plain(value: Any) -> Any:
    """JSON values, with paths in a form that every system reads."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value.as_posix() if isinstance(value, PurePath) else value


def _cell_json(result: StudyResult, cell: CellResult) -> dict[str, Any]:
    facts = {
        "row": cell.cell.row,
        "column": cell.cell.column,
        "base": cell.cell.base,
        "changes": dict(cell.cell.changes),
        "metric": cell.cell.metric,
        "higher_is_better": higher_is_better(cell.cell.metric),
        **_summary(cell.values),
        "runs": [_run_json(run) for run in cell.runs],
    }
    if len(cell.cell.metrics) > 1:
        facts["shown"] = {metric: _summary(cell.values_of(metric)) for metric in cell.cell.metrics}
    if cell.cell.options:
        facts["choice"] = _choice_json(result, cell)
    return facts


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
    }


def _choice_json(result: StudyResult, cell: CellResult) -> dict[str, Any]:
    choose = result.grid.settings.choose
    assert choose is not None
    scores = [[run.value for run in option] for option in cell.folds]
    return {
        "chosen": cell.cell.chosen or None,
        "metric": cell.cell.by,
        "folds": choose.folds,
        "score": choose.score,
        "seed": choose.seed,
        "candidates": [
            {
                "name": option.name,
                "changes": dict(option.changes),
                "mean": mean_score(of_option),
                "scores": of_option,
                "runs": [_run_json(run) for run in runs],
            }
            for option, of_option, runs in zip(cell.cell.options, scores, cell.folds, strict=True)
        ],
    }


def _run_json(run: RunResult) -> dict[str, Any]:
    facts = {
        "seed": run.run.seed,
        "subsample": run.run.settings.data.subsample,
        "folder": run.run.settings.name,
        "state": run.state,
        "value": run.value,
    }
    if run.state == "failed":
        facts["error"] = run.error
    if run.state == "done":
        facts |= {name: fact_of(run.facts, name) for name in FACTS}
    curve = curve_of(run)
    if curve.points:
        facts["curve"] = {"metric": curve.metric, "points": [list(point) for point in curve.points]}
    return facts
