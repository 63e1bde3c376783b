"""Several runs at a time, each in a process of its own that stays for the next."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from softprompt.experiments.cells import Run
from softprompt.experiments.execution import Outcome

WORKER = (sys.executable, "-P", "-m", "softprompt.experiments.worker")

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def n_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool:
    """The engine of several local processes, which share the cores of this machine.

    Args:
        n: how many.
        logs: folder for what the workers print.
        command: what a worker is.
    """

    def __init__(self, n: int, logs: Path, command: Sequence[str] = WORKER) -> None:
        threads = max(1, n_cores() // n)
        self._workers = [Worker(command, threads, logs / f"worker-{i + 1}.log") for i in range(n)]

    def run(self, runs: Sequence[Run], begun: Callable[[Run], None]) -> Generator[tuple[Run, Outcome]]:
        """As `Engine.run`; `begun` is called from the thread of the run's worker."""
        waiting: queue.SimpleQueue[Run] = queue.SimpleQueue()
        for run in runs:
            waiting.put(run)
        ended: queue.SimpleQueue[tuple[Run, Outcome]] = queue.SimpleQueue()
        stop = threading.Event()

        def work(worker: Worker) -> None:
            while not stop.is_set():
                try:
                    run = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    begun(run)
                    outcome = worker.run(run)
                except Exception as error:  # or the others would wait for this one for ever
                    outcome = Outcome(f"{type(error).__name__}: {error}")
                ended.put((run, outcome))

        threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in self._workers]
        for thread in threads:
            thread.start()
        try:
            for _ in runs:
                yield _next(ended)
        finally:
            stop.set()
            self._stop(threads)

    def _stop(self, threads: Sequence[threading.Thread]) -> None:
        try:
            for worker in self._workers:
                worker.close()
            for thread in threads:
                thread.join()
            for worker in self._workers:
                worker.wait()
        except BaseException:  # a second Ctrl-C: not even the checkpoints are waited for
            for worker in self._workers:
                worker.kill()
            raise


def _next(ended: "queue.SimpleQueue[tuple[Run, Outcome]]") -> tuple[Run, Outcome]:
    while True:
        try:
            # Waiting without an end would not hear Ctrl-C on Windows.
            return ended.get(timeout=0.5)
        except queue.Empty:
            continue


class Worker:
    """The near end of a worker process; it starts with its first run, and anew after a crash.

    Args:
        command: what the process is.
        threads: how many it may use.
        log: file for what it prints.
    """

    def __init__(self, command: Sequence[str], threads: int, log: Path) -> None:
        self._command, self._threads, self._log = command, threads, log
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def run(self, run: Run) -> Outcome:
        """Blocks until the run has ended, or its process has."""
        try:
            process = self._started()
        except OSError as error:
            return Outcome(f"no process could be started: {error}")
        if process is None:
            return Outcome(interrupted=True)
        assert process.stdin is not None and process.stdout is not None
        line = ""
        with suppress(OSError, ValueError):  # a dead process, or one that was closed meanwhile
            process.stdin.write(json.dumps(run.settings.model_dump(mode="json")) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if line.endswith("\n"):  # without it the process died while it answered
            return Outcome(**json.loads(line))
        self.wait()
        if self._closed:
            return Outcome(interrupted=True)
        return Outcome(f"its process ended with code {process.returncode}; what it printed is in {self._log}")

    def close(self) -> None:
        """Tell the process to stop; a run in progress leaves its checkpoint."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                _close(self._process.stdin)

    def wait(self) -> None:
        """Until the process has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.wait()
            _close(process.stdin)
            _close(process.stdout)

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()

    def _started(self) -> "subprocess.Popen[str] | None":
        with self._lock:
            if self._closed or self._process is not None:
                return None if self._closed else self._process
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with open(self._log, "a", encoding="utf-8") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    encoding="utf-8",
                    env={**os.environ, **dict.fromkeys(_THREADS, str(self._threads))},
                    # Ctrl-C reaches only the parent, which closes the pipe: one stop, not two.
                    start_new_session=True,
                    creationflags=subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0,
                )
            return self._process


def _close(pipe: IO[str] | None) -> None:
    # What is left in the pipe of a dead process has nowhere to go.
    with suppress(OSError):
        if pipe is not None:
            pipe.close()
