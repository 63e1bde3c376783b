"""The runs of a study against their data and backbones, before the first one begins."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from softprompt.data import load
from softprompt.errors import BackboneError, SoftpromptError
from softprompt.studies.definition.cells import Grid, Run
from softprompt.studies.reading.mistakes import Mistakes
from softprompt.studies.results.folders import failure_of
from softprompt.training import Processes, RunFolder, check_before_loading, check_shard, check_trackers


def check_runs(grid: Grid, retry_failed: bool = False) -> None:
    """Read the data and find the backbone of every run that is still to be run; no weights are loaded.

    Data that several runs share is read once. Runs that have ended are left alone: what they were made from
    may be gone.

    Args:
        retry_failed: whether runs that failed before will be run again.

    Raises:
        ConfigError: every mistake at once, with the cells that have it.
    """
    mistakes, processes = Mistakes(Path(grid.plan.file)), Processes()
    todo = _different(grid, retry_failed)
    _check_backbones(todo, mistakes)
    for _, several in groupby(todo, lambda one: one[1].settings.data):
        runs = list(several)
        if mistakes.full:
            break
        try:
            splits = load(runs[0][1].settings.data)
        except SoftpromptError as error:
            for cell, _ in runs:
                mistakes.add_all(cell, error.problems)
            continue
        for cell, run in runs:
            with mistakes.gathered(cell):
                check_trackers(run.settings.training.trackers)
                check_shard(run.settings.backbone, processes, None)
                check_before_loading(run.settings, splits)
    mistakes.tell()


def _check_backbones(todo: list[tuple[str, Run]], mistakes: Mistakes) -> None:
    from softprompt.backbones import check_found

    lacking: dict[str, BackboneError | None] = {}
    for cell, run in todo:
        name = run.settings.backbone.name
        if name not in lacking:
            try:
                lacking[name] = check_found(name)
            except BackboneError as error:
                lacking[name] = error
        if error := lacking[name]:
            mistakes.add_all(cell, error.problems)


def _different(grid: Grid, retry_failed: bool) -> list[tuple[str, Run]]:
    """The runs to be run with their cells, by data; of runs that differ in the seed alone, one."""
    runs: dict[str, tuple[str, Run]] = {}
    left_out = {"name": True, "output": True, "training": {"seed"}}
    for cell, run in _todo(grid, retry_failed):
        runs.setdefault(cell + run.settings.model_dump_json(exclude=left_out), (cell, run))
    return sorted(runs.values(), key=lambda one: one[1].settings.data.model_dump_json())


def _todo(grid: Grid, retry_failed: bool) -> Iterator[tuple[str, Run]]:
    for cell in grid.all_cells:
        name = ", ".join(part for part in (cell.row, cell.column) if part)
        for run in (*cell.folds, *cell.possible):
            ended = RunFolder(run.settings.folder).result.exists()
            if not ended and (retry_failed or not failure_of(grid, run).exists()):
                yield name, run
