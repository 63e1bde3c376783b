"""A process that runs cells one after another: the near end `Worker`, and `main`, the far end.

Jobs go in and outcomes come out by one pipe. The end of the jobs, also when the parent dies, is Ctrl-C: a
run in progress leaves its checkpoint. The process begins with light imports alone, since the number of
threads counts only where it is set before torch is loaded.
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
"""What makes the function that a worker calls with each job; named, so that only the process loads it."""

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
    """The near end of a worker process, which starts with its first run, and anew after a crash.

    Args:
        threads: how many the process may use.
        log: file for what it prints.
        work: names a function without arguments that makes the function from job to outcome.
    """

    def __init__(self, threads: int, log: Path, work: str = EXECUTION) -> None:
        self._threads, self._log, self._work = threads, log, work
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._closed = False
        self._lock = threading.Lock()

    def run(self, job: Job) -> Outcome:
        """Blocks until the run has ended, or its process has."""
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
        """Until the process has ended; returns its exit code, None where there was none."""
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
        # With this copy open, the pipe would outlive the process.
        theirs.close()
        self._process, self._pipe = process, ours
        return ours


def main(pipe: Connection, threads: int, log: Path, work: str) -> None:
    """Serve a pipe in a process of its own; whatever prints there goes to the log."""
    with open(log, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ |= dict.fromkeys(_THREADS, str(threads))
    # Ctrl-C of a terminal reaches only the parent, which ends the jobs: one stop, not two.
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetConsoleCtrlHandler(None, True)
    else:
        os.setsid()
    # A parent in the background leaves this signal ignored, and then nothing could stop a run.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    serve(pipe, pkgutil.resolve_name(work)())


def serve(pipe: Connection, work: Callable[[Job], Outcome]) -> None:
    """Run every job of a pipe until there are no more; their end interrupts the job that is open."""
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
    with suppress(KeyboardInterrupt, BrokenPipeError):  # before or after a run there is nothing to keep
        while (job := waiting.get()) is not None:
            try:
                outcome = work(job)
            except KeyboardInterrupt:
                outcome = Outcome(interrupted=True)
            is_open.clear()  # before the answer, upon which the next job may come
            pipe.send(outcome)
            if outcome.interrupted:
                return
