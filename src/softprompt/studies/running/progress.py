"""The progress of a study: a line for each run, and on a terminal a bar where several run at once."""

import threading
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from softprompt.errors import TrainingError, counted
from softprompt.studies.definition.cells import Grid, Run
from softprompt.studies.definition.choosing import chosen
from softprompt.studies.results.folders import failure_of
from softprompt.studies.running.worker import Outcome
from softprompt.terminal import print_line
from softprompt.training import RunFolder, clock


class StudyProgress:
    """Counts runs, and estimates the time left from the runs so far.

    Args:
        console: None is silent.
        jobs: how many runs go on at once; there is no bar for one, which shows its own.
    """

    def __init__(self, console: Console | None, grid: Grid, jobs: int) -> None:
        self._console, self._jobs = console, jobs
        known = [*grid.folds, *chosen(grid).runs]
        self._n_runs = grid.n_runs
        ended = [run for run in known if RunFolder(run.settings.folder).result.exists()]
        failed = [run for run in known if run not in ended and failure_of(grid, run).exists()]
        self._n_begun = self._n_over = len(ended) + len(failed)
        self._seconds = [s for run in ended if (s := _took(run)) is not None]
        self._since: dict[Path, float] = {}
        self._lock = threading.Lock()
        self._bar: Progress | None = None
        if ended:
            self._say(f"{len(ended)} of {counted(self._n_runs, 'run')} are there already")
        if failed:
            self._say(f"{len(failed)} failed before and are left out (--retry-failed tries them again):")
        for run in failed:
            self._say(f"  {run.label}")

    def __enter__(self) -> "StudyProgress":
        if self._console is not None and self._console.is_terminal and self._jobs > 1:
            self._bar = Progress(
                TextColumn("{task.completed:.0f}/{task.total:.0f} runs"),
                BarColumn(),
                TextColumn("{task.fields[left]}"),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=self._n_runs, completed=self._n_over, left="")
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def begin(self, run: Run) -> None:
        """A run begins."""
        with self._lock:
            self._n_begun += 1
            self._since[run.settings.folder] = time.monotonic()
            left = self._left()
            self._say(f"run {self._n_begun}/{self._n_runs}: {run.label}{f' ({left})' if left else ''}")

    def end(self, run: Run, outcome: Outcome) -> None:
        """A run is done, or has failed."""
        with self._lock:
            self._n_over += 1
            if not outcome.error:
                self._seconds.append(time.monotonic() - self._since[run.settings.folder])
            self._say(f"{run.label}: failed: {outcome.error}" if outcome.error else f"{run.label}: done")
            if self._bar is not None:
                self._bar.update(self._task, completed=self._n_over, left=self._left())

    def _left(self) -> str:
        """The time left in words; empty before the first run has ended, and below a second."""
        if not self._seconds:
            return ""
        mean = sum(self._seconds) / len(self._seconds)
        left_s = mean * (self._n_runs - self._n_over) / self._jobs
        return f"about {clock(left_s)} left" if left_s >= 1 else ""

    def _say(self, text: str) -> None:
        if self._console is not None:
            print_line(self._console, text)


def _took(run: Run) -> float | None:
    """Seconds of the last sitting of a run that has ended; None where its result lacks them."""
    try:
        facts = RunFolder(run.settings.folder).finished() or {}
    except TrainingError:
        return None
    seconds = facts.get("seconds", {})
    return seconds.get("last_sitting") if isinstance(seconds, dict) else None
