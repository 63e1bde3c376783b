"""Where the runs of a study are run: one by one here, in processes of this machine, or on a Ray cluster.

The nodes of a cluster share a file system with this machine; run folders have the same paths on all of them.
"""

import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

import softprompt
from softprompt.errors import ConfigError, first_line
from softprompt.extras import require
from softprompt.studies.definition.cells import Run
from softprompt.studies.running.worker import EXECUTION, Job, Outcome, Worker

if TYPE_CHECKING:
    from softprompt.studies.running.execution import Executor

EngineName = Literal["local", "ray"]

ATTEMPTS = 3
"""How often a run is begun before it counts as failed because its worker was lost; it resumes each time."""

_PASSED_ON = ("SOFTPROMPT_DATA", "SOFTPROMPT_HOME")

Outcomes = Generator[tuple[Run, Outcome], None, None]
"""Every run with its outcome, in the order in which runs end; closing the generator stops runs in progress.

A run that is stopped leaves a checkpoint.
"""

Engine = Callable[[Sequence[Run], Callable[[Run], None]], Outcomes]
"""Runs the runs, and calls the function, from any thread, when one begins."""


def engine_of(name: EngineName, jobs: int, console: Console | None, logs: Path) -> Engine:
    """An engine.

    Args:
        jobs: how many runs at a time.
        console: shows the progress of the run, where there is one at a time.
        logs: folder for what worker processes print.

    Raises:
        ConfigError: Ray is not installed.
    """
    if name == "ray":
        require("ray", "--engine ray", error=ConfigError)
    elif jobs == 1:
        # Training is imported where runs are run: a node of a cluster has one process for that.
        from softprompt.studies.running.execution import Executor

        return partial(in_turn, Executor(console))
    workers = ray_workers if name == "ray" else local_workers
    return lambda runs, on_begin: pooled(workers(min(jobs, len(runs)), logs), runs, on_begin)


def in_turn(executor: "Executor", runs: Sequence[Run], on_begin: Callable[[Run], None]) -> Outcomes:
    """Run one after another in this process."""
    for run in runs:
        on_begin(run)
        yield run, executor.run(run.settings)


def pooled(
    workers: Sequence["Worker | RayWorker"], runs: Sequence[Run], on_begin: Callable[[Run], None]
) -> Outcomes:
    """Run as many at a time as there are workers, each driven by a thread."""
    idle = list(workers)

    def work(run: Run) -> Outcome:
        worker = idle.pop(0)
        try:
            on_begin(run)
            # A worker may have another working directory.
            settings = run.settings.model_copy(update={"output": run.settings.output.absolute()})
            return worker.run(settings.model_dump(mode="json"))
        except Exception as error:
            return Outcome(f"{type(error).__name__}: {error}")
        finally:
            idle.append(worker)

    threads = ThreadPoolExecutor(len(workers))
    try:
        futures = {threads.submit(work, run): run for run in runs}
        pending = set(futures)
        while pending:
            # On Windows, Ctrl-C does not end a wait without a timeout.
            ended, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in ended:
                yield futures[future], future.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        try:
            for worker in workers:
                worker.close()
            threads.shutdown()
            for worker in workers:
                worker.wait()
        except BaseException:  # on a second Ctrl-C, workers end without a checkpoint
            for worker in workers:
                worker.kill()
            raise


def local_workers(n: int, logs: Path, work: str = EXECUTION) -> list[Worker]:
    """Processes that share the cores of this machine.

    Args:
        n: number of processes.
        logs: folder for what the processes print.
        work: as `Worker` takes it.
    """
    threads = max(1, n_cores() // n)
    return [Worker(threads, logs / f"worker-{i + 1}.log", work) for i in range(n)]


def n_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ray_workers(n: int, logs: Path, work: str = EXECUTION) -> list["RayWorker"]:
    """Workers of a Ray cluster: the one that RAY_ADDRESS names, one that runs here, or a new local one.

    Args:
        n: number of workers, which share the cluster's processors and GPUs equally.
        logs: folder for what the workers print.
        work: as `Worker` takes it.
    """
    import ray

    if not ray.is_initialized():
        ray.init(log_to_driver=False, configure_logging=False)
    total, numbers = ray.cluster_resources(), count(1)
    cpus = max(1, int(total.get("CPU", n_cores())) // n)
    options: dict[str, Any] = {
        "num_cpus": cpus,
        "num_gpus": min(1.0, total.get("GPU", 0.0) / n),
        "max_concurrency": 2,  # `run` and `close` at the same time
        "runtime_env": {"env_vars": _environment()},
    }
    remote = ray.remote(**options)(_Remote)

    def make() -> Any:
        log = logs.absolute() / f"worker-{next(numbers)}.log"
        return remote.remote(cpus, log, work, Path.cwd())

    return [RayWorker(make) for _ in range(n)]


class RayWorker:
    """A worker of a cluster; a run whose Ray actor is lost goes on in a new one.

    Args:
        make: makes an actor, with a log of its own.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._actor, self._closed = make, None, False
        self._lock = threading.Lock()

    def run(self, job: Job) -> Outcome:
        """As `Worker.run`."""
        import ray
        from ray.exceptions import RayError

        lost = ""
        for _ in range(ATTEMPTS):
            try:
                with self._lock:
                    if self._closed:
                        return Outcome(interrupted=True)
                    self._actor = self._actor if self._actor is not None else self._make()
                    promise = self._actor.run.remote(job)
                return ray.get(promise)
            except RayError as error:
                self._actor, lost = None, first_line(error)
        return Outcome(f"its worker was lost {ATTEMPTS} times; the last time: {lost}")

    def close(self) -> None:
        """As `Worker.close`."""
        with self._lock:
            self._closed = True
            if self._actor is not None:
                self._actor.close.remote()

    def kill(self) -> None:
        """As `Worker.kill`."""
        import ray

        if self._actor is not None:
            ray.kill(self._actor)

    wait = kill  # only called on a closed worker, whose run has ended


class _Remote:
    """The Ray actor: it drives one worker process on its node."""

    def __init__(self, threads: int, log: Path, work: str, folder: Path) -> None:
        os.chdir(folder)  # relative paths in settings are relative to the caller's folder
        self._worker = Worker(threads, log, work)

    def run(self, job: Job) -> Outcome:
        return self._worker.run(job)

    def close(self) -> None:
        self._worker.close()


def _environment() -> dict[str, str]:
    """The variables by which a node finds this package, the data and the backbones."""
    here = str(Path(softprompt.__file__).parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"PYTHONPATH": os.pathsep.join(paths), **passed_on}
