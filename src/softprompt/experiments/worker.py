"""A process that runs what it is told, one line of JSON at a time: `python -m softprompt.experiments.worker`.

Settings come in on standard input, outcomes go out on standard output. The end of the input, also when
the parent dies, is Ctrl-C: a run in progress leaves its checkpoint.
"""

import _thread
import json
import os
import queue
import signal
import sys
import threading
from dataclasses import asdict
from typing import TextIO


def serve(jobs: TextIO, outcomes: TextIO) -> None:
    """Run every job until there are no more."""
    from rich.console import Console

    from softprompt.config import parse_run
    from softprompt.experiments.execution import Executor, Outcome

    inbox = _Inbox(jobs)
    executor, console = Executor(), Console(stderr=True)
    try:
        while (job := inbox.get()) is not None:
            settings = parse_run(json.loads(job))
            console.print(f"== {settings.name}", markup=False, highlight=False, soft_wrap=True)
            try:
                outcome = executor.run(settings, console)
            except KeyboardInterrupt:
                outcome = Outcome(interrupted=True)
            outcomes.write(json.dumps(asdict(outcome)) + "\n")
            outcomes.flush()
            if outcome.interrupted:
                return
            inbox.done()
    except KeyboardInterrupt:
        return  # before or after a run there is nothing to keep


class _Inbox:
    """Jobs as they arrive; their end interrupts the main thread while a job is open."""

    def __init__(self, jobs: TextIO) -> None:
        self._jobs = jobs
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._n_open = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def get(self) -> str | None:
        """The next job; None when there are no more."""
        return self._waiting.get()

    def done(self) -> None:
        """Say that the last job has been answered."""
        with self._lock:
            self._n_open -= 1

    def _read(self) -> None:
        for job in self._jobs:
            if not job.endswith("\n"):
                break  # the parent died while it wrote
            with self._lock:
                self._n_open += 1
            self._waiting.put(job)
        self._waiting.put(None)
        with self._lock:
            if self._n_open:
                _thread.interrupt_main()


def main() -> None:
    """Serve standard input; whatever else prints goes to standard error, the log."""
    # A parent in the background leaves this signal ignored, and then nothing could stop a run.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    outcomes = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(sys.stdin, outcomes)


if __name__ == "__main__":
    main()
