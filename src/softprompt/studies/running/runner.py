"""Running what a study still lacks."""

import os
import shutil
from collections.abc import Sequence
from contextlib import closing

from filelock import Timeout
from rich.console import Console

from softprompt.errors import ConfigError, TrainingError
from softprompt.studies.definition.cells import Grid, Run
from softprompt.studies.definition.choosing import chosen
from softprompt.studies.results.folders import check_folders, failure_of, write_failure
from softprompt.studies.results.study_result import read_runs
from softprompt.studies.running.executors import Engine, EngineName, engine_of
from softprompt.studies.running.progress import StudyProgress
from softprompt.training import Processes, RunFolder, locked


def run_study(
    grid: Grid,
    jobs: int = 1,
    console: Console | None = None,
    engine: EngineName = "local",
    retry_failed: bool = False,
) -> None:
    """Run every run of the study that has not ended yet; interrupted runs are resumed.

    A run that fails leaves its error in the study's folder (`failure_of`), and the others go on; what can be
    found before any run begins, `check_runs` finds. Where
    cells choose, the runs on folds come first; a cell without all of their scores is not run.

    Args:
        jobs: runs at a time; several run in processes that share the cores. Python spawns the processes, so a
            script has to call this function below `if __name__ == "__main__"`.
        console: where progress is shown; None is silent.
        engine: where the runs run: `local`, or `ray` for the workers of a Ray cluster.
        retry_failed: whether to run also those that failed before, each from its last checkpoint.

    Raises:
        ConfigError: several processes under `accelerate launch`, or Ray is not installed.
        TrainingError: a run's folder has other content (all such folders are named at once), or another
            process runs this study.
        KeyboardInterrupt: on Ctrl-C; runs in progress have left a checkpoint.
    """
    n_processes = Processes().count
    if n_processes > 1:
        raise ConfigError("study", f"{n_processes} processes", "one process", "use --jobs instead")
    run_several = engine_of(engine, jobs, console, grid.folder / "logs")
    check_folders(grid)
    try:
        with locked(grid.folder / "study", "lock"):
            if retry_failed:
                _forget_failures(grid)
            with StudyProgress(console, grid, jobs) as progress:
                _run_all(grid, list(grid.folds), "results", run_several, progress)
                _run_all(grid, list(chosen(grid).runs), grid.settings.keep, run_several, progress)
    except Timeout:
        do = "wait for its end, or give this study another name"
        raise TrainingError(
            str(grid.folder), "another process that runs this study", "one process at a time", do
        ) from None


def _run_all(grid: Grid, runs: Sequence[Run], keep: str, engine: Engine, progress: StudyProgress) -> None:
    for run in filter(_ended, runs):
        _clear(run, keep)  # the study was stopped before, or `keep` has changed
    todo = [run for run in _by_backbone(runs) if not _ended(run) and not failure_of(grid, run).exists()]
    if not todo:
        return
    # Closed here, since the garbage collector could let runs go on after an interruption.
    with closing(engine(todo, progress.begin)) as outcomes:
        for run, outcome in outcomes:
            if outcome.interrupted:
                raise KeyboardInterrupt
            if outcome.error:
                write_failure(grid, run, outcome.error, outcome.trace)
            else:
                _clear(run, keep)
            progress.end(run, outcome)


def _forget_failures(grid: Grid) -> None:
    """Make failed runs unfinished ones, which are resumed; a result that cannot be used is renamed."""
    for failed in read_runs(grid).failed:
        result = RunFolder(failed.run.settings.folder).result
        if result.exists():
            os.replace(result, result.with_name(f"{result.name}.failed"))
        failure_of(grid, failed.run).unlink(missing_ok=True)


def _ended(run: Run) -> bool:
    return RunFolder(run.settings.folder).result.exists()


def _clear(run: Run, keep: str) -> None:
    """Delete what the study does not keep of a run that has ended."""
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
