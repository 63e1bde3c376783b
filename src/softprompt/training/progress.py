"""Progress of a run: live bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from softprompt.errors import printable
from softprompt.terminal import print_line

# Plain output (a log file, CI) gets a line this often at most.
LINE_EVERY_S = 10.0


class RunProgress:
    """Counts steps with loss, tokens/s and time left, and generated records.

    Args:
        console: None is silent.
    """

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._bars: Progress | None = None

    def __enter__(self) -> "RunProgress":
        if self._console is not None and self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[details]}", markup=False),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def counter(self, what: str, total: int, done: int = 0) -> "Counter":
        """A new counter that begins at `done` of `total`."""
        return Counter(self._bars, self._console, what, total, done)

    def say(self, text: str) -> None:
        """One line, above the bars."""
        if self._console is not None:
            print_line(self._console, text)

    def evaluated(self, step: int, values: Mapping[str, float], best: bool) -> None:
        """One line for an evaluation on the development set."""
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.say(f"step {step}: development {shown}{' (best so far)' if best else ''}")


class Counter:
    """Counts towards a total; leaving the context removes the bar."""

    def __init__(
        self, bars: Progress | None, console: Console | None, what: str, total: int, done: int
    ) -> None:
        self._bars, self._console = bars, console
        self._what, self._total, self._first, self._done = what, total, done, done
        # Counted as a printed line, so that a short job prints only its result.
        self._started = self._last_line = time.monotonic()
        self._task = bars.add_task(printable(what), total=total, completed=done, details="") if bars else None

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars is not None and self._task is not None:
            # A job shorter than the refresh interval would otherwise never show its end.
            self._bars.refresh()
            self._bars.remove_task(self._task)

    def add(self, n: int, details: str = "") -> None:
        """Count `n` more."""
        self._done += n
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self._done, details=printable(details))
            return
        now = time.monotonic()
        if self._console is None or now - self._last_line < LINE_EVERY_S:
            return
        self._last_line = now
        left_s = (now - self._started) / max(1, self._done - self._first) * (self._total - self._done)
        shown = [f"{self._what} {self._done}/{self._total}", details, f"{clock(left_s)} left"]
        print_line(self._console, ", ".join(part for part in shown if part))


def clock(seconds: float) -> str:
    """Seconds as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
