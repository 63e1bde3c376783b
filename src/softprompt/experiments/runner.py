"""Running what a study still lacks."""

import json
import shutil
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console

from softprompt.errors import ConfigError, TrainingError
from softprompt.experiments.cells import Grid, Run
from softprompt.experiments.choosing import chosen
from softprompt.experiments.execution import Executor, Outcome
from softprompt.experiments.pool import Pool
from softprompt.training.disk import write_atomically, writing
from softprompt.training.folder import RunFolder
from softprompt.training.processes import Processes


def check_folders(grid: Grid) -> None:
    """Raises TrainingError, a line for each run whose folder holds a run with other settings."""
    mistakes = []
    for run in (*grid.folds, *(run for cell in grid.all_cells for run in cell.possible)):
        folder = RunFolder(run.settings.folder)
        if folder.path.exists():
            try:
                folder.check(run.settings, resume=folder.settings.is_file())
            except TrainingError as error:
                mistakes.append(f"{run.label}: {error}, or remove that folder")
    if mistakes:
        raise TrainingError.several(mistakes)


def run_study(grid: Grid, jobs: int = 1, console: Console | None = None) -> None:
    """Run every run of the study that has not ended yet; interrupted ones go on.

    A run that fails leaves its error in the study's folder (`failure_of`) and the others go on. Where
    cells choose, the runs on folds come first; a cell that lacks one of their scores is not run.

    Args:
        jobs: how many at a time; more than one are processes that share the cores.
        console: where progress is shown; None is silent.

    Raises:
        ConfigError: several processes under `accelerate launch`.
        TrainingError: a run's folder holds something else (all such folders at once).
        KeyboardInterrupt: on Ctrl-C; runs in progress have left a checkpoint.
    """
    if Processes().count > 1:
        raise ConfigError("study", f"{Processes().count} processes", "one process", "use --jobs instead")
    check_folders(grid)
    folds, n_runs = list(grid.folds), sum(cell.n_runs for cell in grid.all_cells)
    n_ended = sum(_ended(run) for run in (*folds, *chosen(grid).runs))
    progress = _Progress(console, len(folds) + n_runs, n_ended)
    executor = Executor()
    _run_all(grid, folds, "results", jobs, executor, progress)
    _run_all(grid, list(chosen(grid).runs), grid.settings.keep, jobs, executor, progress)


def _run_all(
    grid: Grid, runs: Sequence[Run], keep: str, jobs: int, executor: Executor, progress: "_Progress"
) -> None:
    for run in filter(_ended, runs):
        _clear(run, keep)  # a study stopped at the wrong moment, or that keeps less than before
    todo = [run for run in _by_backbone(runs) if not _ended(run)]

    def begin(run: Run) -> None:
        failure_of(grid, run).unlink(missing_ok=True)
        progress.begin(run)

    def end(run: Run, outcome: Outcome) -> None:
        if outcome.interrupted:
            raise KeyboardInterrupt
        if outcome.error:
            _write_failure(grid, run, outcome)
        else:
            _clear(run, keep)
        progress.end(run, outcome)

    if jobs == 1:
        for run in todo:
            begin(run)
            end(run, executor.run(run.settings, progress.console))
    elif todo:
        pool = Pool(min(jobs, len(todo)), grid.folder / "logs")
        # Closed here and not by the garbage collector, so that nothing runs on after an interruption.
        with closing(pool.run(todo, begin)) as outcomes:
            for run, outcome in outcomes:
                end(run, outcome)


def failure_of(grid: Grid, run: Run) -> Path:
    """Where the error of a run that failed is kept."""
    return grid.folder / "failed" / f"{run.settings.name}.json"


def _write_failure(grid: Grid, run: Run, outcome: Outcome) -> None:
    path = failure_of(grid, run)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"error": outcome.error, "trace": outcome.trace}, indent=1)
        write_atomically(path, text + "\n")


def _ended(run: Run) -> bool:
    return RunFolder(run.settings.folder).result.exists()


def _clear(run: Run, keep: str) -> None:
    """Delete what the study does not keep of a run that has ended; its result says that it has."""
    folder = RunFolder(run.settings.folder)
    if keep != "all":
        shutil.rmtree(folder.checkpoints.folder, ignore_errors=True)
    if keep == "results":
        shutil.rmtree(folder.prompt, ignore_errors=True)


def _by_backbone(runs: Sequence[Run]) -> list[Run]:
    """The same runs, those of one backbone together, so that each is loaded once."""
    backbones = []
    for run in runs:
        if run.settings.backbone not in backbones:
            backbones.append(run.settings.backbone)
    return sorted(runs, key=lambda run: backbones.index(run.settings.backbone))


class _Progress:
    """One line when a run begins, and one when it failed."""

    def __init__(self, console: Console | None, n_runs: int, n_ended: int) -> None:
        self.console, self._n_runs, self._n_begun = console, n_runs, n_ended
        self._lock = threading.Lock()
        if n_ended:
            self._say(f"{n_ended} of {n_runs} runs are there already")

    def begin(self, run: Run) -> None:
        with self._lock:
            self._n_begun += 1
            self._say(f"run {self._n_begun}/{self._n_runs}: {run.label}")

    def end(self, run: Run, outcome: Outcome) -> None:
        with self._lock:
            self._say(f"{run.label}: failed: {outcome.error}" if outcome.error else f"{run.label}: done")

    def _say(self, text: str) -> None:
        if self.console is not None:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)
