"""A process that runs one job after another: `Worker` in the parent, `main` in the process itself.

Jobs and outcomes pass through one pipe. Where the jobs end, also because the parent dies, the process acts as
on Ctrl-C: a run in progress leaves its checkpoint. This module imports no torch, since the number of
threads has an effect only if it is set before torch is loaded.
"""

import _thread
import os
import pkgutil
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

EXECUTION = "softprompt.studies.running.execution:jobs_in_turn"
"""Makes the function that a worker calls with each job; a name, so that only the process imports it."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Job = Mapping[str, Any]
"""The settings of a run, as JSON values."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        error: empty where it succeeded.
        trace: the traceback of an error that is no SoftpromptError.
        interrupted: stopped from outside; it can be resumed.
    """

    error: str = ""
    trace: str = ""
    interrupted: bool = False


class Worker:
    """Starts a worker process for the first run, and a new one after a crash.

    Args:
        threads: how many the process may use.
        log: file for what the process prints.
        work: `module:name` of a function without arguments, which makes the function from job to outcome.
    """

    def __init__(self, threads: int, log: Path, work: str = EXECUTION) -> None:
        self._threads, self._log, self._work = threads, log, work
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._closed = False
        self._lock = threading.Lock()

    def run(self, job: Job) -> Outcome:
        """Wait until the run, or its process, has ended."""
        try:
            with self._lock:
                if self._closed:
                    return Outcome(interrupted=True)
                pipe = self._pipe if self._pipe is not None else self._start()
        except OSError as error:
            return Outcome(f"no process could be started: {error}")
        # A process that dies closes the pipe, also half-way through an answer.
        with suppress(OSError, EOFError):
            with self._lock:
                pipe.send(job)
            return pipe.recv()
        code = self.wait()
        if self._closed:
            return Outcome(interrupted=True)
        return Outcome(f"its process ended with code {code}; what it printed is in {self._log}")

    def close(self) -> None:
        """Ask the process to stop; a run in progress leaves its checkpoint."""
        with self._lock:
            self._closed = True
            if self._pipe is not None:
                with suppress(OSError):
                    self._pipe.send(None)

    def wait(self) -> int | None:
        """Wait until the process has ended, and return its exit code; None without a process."""
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if process is None or pipe is None:
            return None
        process.join()
        pipe.close()
        return process.exitcode

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()

    def _start(self) -> Connection:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=main, args=(theirs, self._threads, self._log, self._work))
        process.start()
        # If this copy stayed open, the end of the process would not close the pipe.
        theirs.close()
        self._process, self._pipe = process, ours
        return ours


def main(pipe: Connection, threads: int, log: Path, work: str) -> None:
    """Serve a pipe in this process; everything that is printed goes to the log."""
    with open(log, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ |= dict.fromkeys(_THREADS, str(threads))
    # Ctrl-C of a terminal must reach the parent alone, which ends the jobs; else runs are stopped twice.
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetConsoleCtrlHandler(None, True)
    else:
        os.setsid()
    # A parent in the background leaves this signal ignored, which would make runs impossible to stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    serve(pipe, pkgutil.resolve_name(work)())


def serve(pipe: Connection, work: Callable[[Job], Outcome]) -> None:
    """Run every job of a pipe; the end of the jobs interrupts a job that is running."""
    waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    is_open = threading.Event()

    def read() -> None:
        with suppress(OSError, EOFError):  # the parent is dead
            while (job := pipe.recv()) is not None:
                is_open.set()
                waiting.put(job)
        waiting.put(None)
        if is_open.is_set():
            _thread.interrupt_main()

    threading.Thread(target=read, daemon=True).start()
    with suppress(KeyboardInterrupt, BrokenPipeError):  # between runs there is nothing to save
        while (job := waiting.get()) is not None:
            try:
                outcome = work(job)
            except KeyboardInterrupt:
                outcome = Outcome(interrupted=True)
            is_open.clear()  # before the answer, since the next job may follow at once
            pipe.send(outcome)
            if outcome.interrupted:
                return
