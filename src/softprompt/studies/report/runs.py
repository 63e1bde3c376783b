"""The runs of a study in reports: facts, settings, and the command that repeats a run."""

from typing import Any

import yaml

from softprompt.errors import counted
from softprompt.studies.commands import command_line
from softprompt.studies.definition.cells import Cell, Grid, Run
from softprompt.studies.definition.measures import label, scores_of
from softprompt.studies.definition.settings import SUBSAMPLE
from softprompt.studies.results.numbers import cut, mean_and_std
from softprompt.studies.results.study_result import CellResult, RunResult, StudyResult
from softprompt.studies.storage.table import settings_of
from softprompt.training import clock


def cell_name(result: StudyResult, cell: CellResult) -> str:
    """Row and column, and whether the cell is a reference."""
    name = ", ".join(filter(None, (cell.cell.row, cell.cell.column)))
    return f"{name} (reference)" if cell in result.references else name


def cell_summary(result: StudyResult, cell: CellResult) -> str:
    """The number of runs that are done, their mean, and the chosen candidate."""
    done = sum(run.state == "done" for run in cell.runs)
    shown = f", {mean_and_std(cell.values, cell.cell.metric)}" if cell.values else ""
    chose = f", chose {cell.cell.chosen}" if cell.cell.chosen else ""
    return f"{cell_name(result, cell)}: {done} of {counted(cell.cell.n_runs, 'run')}{shown}{chose}"


def run_facts(run: RunResult) -> str:
    """Scores, steps and time; empty if none is known."""
    facts = [f"{label(measure)} {cut(value, measure)}" for measure, value in scores_of(run.facts).items()]
    if run.state == "done":
        facts.append(f"{counted(run.facts['steps'], 'step')} in {clock(run.facts['seconds']['training'])}")
    return "; ".join(facts)


def shared_settings(result: StudyResult) -> dict[str, Any]:
    """The settings that all runs of the table share."""
    first, *others = [settings_of(run) for cell in result.all_cells for run in cell.runs] or [{}]
    return {key: v for key, v in first.items() if all(key in one and one[key] == v for one in others)}


def repeating(grid: Grid, cell: Cell, run: Run) -> str:
    """The `softprompt train` command of a run, with every change that the study makes to the recipe."""
    changes = {**cell.changes, "name": run.settings.name}
    if grid.settings.seeds is not None:
        changes |= dict.fromkeys(grid.settings.seed_keys, run.seed)
    if grid.settings.subsamples is not None:
        changes[SUBSAMPLE] = run.settings.data.subsample
    overrides = [f"{key}={in_yaml(value)}" for key, value in changes.items()]
    return command_line("train", cell.base, overrides=[*overrides, *grid.plan.overrides])


def in_yaml(value: Any) -> str:
    """A value on one line, in the form that `--set` reads."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").rstrip("\n")
