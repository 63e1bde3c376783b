"""The results of a study as JSON: `study.json`."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

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
