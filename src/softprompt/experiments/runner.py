"""Running what a study still lacks."""

import json
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console

from softprompt.errors import ConfigError, TrainingError
from softprompt.experiments.execution import Executor, Outcome
from softprompt.experiments.grid import Grid, Run
from softprompt.experiments.pool import Pool
from softprompt.training.disk import write_atomically, writing
from softprompt.training.folder import RunFolder
from softprompt.training.processes import Processes


def check_folders(grid: Grid) -> None:
    """Raises TrainingError, a line for each run whose folder holds a run with other settings."""
    mistakes = []
    for run in grid.runs:
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

    A run that fails leaves its error in the study's folder (`failure_of`) and the others go on.

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
    runs = _by_backbone(list(grid.runs))
    todo = [run for run in runs if not RunFolder(run.settings.folder).result.exists()]
    progress = _Progress(console, len(runs), len(runs) - len(todo))

    def begin(run: Run) -> None:
        failure_of(grid, run).unlink(missing_ok=True)
        progress.begin(run)

    if jobs == 1:
        executor = Executor()
        for run in todo:
            begin(run)
            _keep(grid, run, progress, executor.run(run.settings, console))
        return
    pool = Pool(min(jobs, max(1, len(todo))), grid.folder / "logs")
    # Closed here and not by the garbage collector, so that nothing runs on after an interruption.
    with closing(pool.run(todo, begin)) as outcomes:
        for run, outcome in outcomes:
            _keep(grid, run, progress, outcome)


def failure_of(grid: Grid, run: Run) -> Path:
    """Where the error of a run that failed is kept."""
    return grid.folder / "failed" / f"{run.settings.name}.json"


def _keep(grid: Grid, run: Run, progress: "_Progress", outcome: Outcome) -> None:
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.error:
        path = failure_of(grid, run)
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"error": outcome.error, "trace": outcome.trace}, indent=1)
            write_atomically(path, text + "\n")
    progress.end(run, outcome)


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
        self._console, self._n_runs, self._n_begun = console, n_runs, n_ended
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
        if self._console is not None:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
