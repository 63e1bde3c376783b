"""Several runs at a time on a Ray cluster: each worker an actor that holds one of our own processes.

The nodes share a file system with this machine: run folders lie at the same paths everywhere.
"""

import os
from collections.abc import Callable, Generator, Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import softprompt
from softprompt.errors import ConfigError, first_line
from softprompt.experiments.cells import Run
from softprompt.experiments.execution import Outcome
from softprompt.experiments.pool import WORKER, Worker, n_cores

ATTEMPTS = 3
"""How often a run is begun whose worker is lost; nodes come and go, and a run resumes at its checkpoint."""

_PASSED_ON = ("SOFTPROMPT_DATA", "SOFTPROMPT_HOME")


def check_ray() -> None:
    """Raises ConfigError where the package is not installed."""
    if find_spec("ray") is None:
        do = 'install it: pip install "softprompt[ray]"'
        raise ConfigError(
            "--engine", "'ray', whose package is not installed", "the package ray, or --engine local", do
        )


class RayPool:
    """The engine of a Ray cluster: the one that RAY_ADDRESS names, one that runs here, or a new local one.

    Args:
        n: how many workers; they share the cluster's processors and GPUs equally.
        logs: folder for what the workers print.
        command: what a worker's process is.
    """

    def __init__(self, n: int, logs: Path, command: Sequence[str] = WORKER) -> None:
        import ray

        self._ray = ray
        if not ray.is_initialized():
            ray.init(log_to_driver=False, configure_logging=False)
        total = ray.cluster_resources()
        self._cpus = max(1, int(total.get("CPU", n_cores())) // n)
        self._gpus = min(1.0, total.get("GPU", 0.0) / n)
        self._n, self._logs, self._command = n, logs.absolute(), tuple(command)
        self._numbers = count(1)

    def run(
        self, runs: Sequence[Run], begun: Callable[[Run], None]
    ) -> Generator[tuple[Run, Outcome], None, None]:
        """As `Engine.run`; a run whose worker is lost goes on with a new one."""
        from ray.exceptions import RayError

        ray = self._ray
        waiting = [(run, 1) for run in runs]
        idle = [self._actor() for _ in range(self._n)]
        at_work: dict[Any, tuple[Any, Run, int]] = {}  # by what Ray promises: actor, run, attempt
        over: list[tuple[Run, Outcome]] = []
        try:
            while waiting or at_work or over:
                while waiting and idle:
                    actor, (run, attempt) = idle.pop(0), waiting.pop(0)
                    if attempt == 1:
                        begun(run)
                    at_work[actor.run.remote(_portable(run))] = (actor, run, attempt)
                # Only now, so that no worker waits for what is done with an outcome.
                while over:
                    yield over.pop(0)
                # Waiting without an end would not hear Ctrl-C everywhere.
                ended, _ = ray.wait(list(at_work), timeout=0.5) if at_work else ([], [])
                for promise in ended:
                    actor, run, attempt = at_work.pop(promise)
                    try:
                        outcome = ray.get(promise)
                    except RayError as error:
                        idle.append(self._actor())
                        if attempt < ATTEMPTS:
                            waiting.insert(0, (run, attempt + 1))
                            continue
                        said = f"its worker was lost {attempt} times; the last time: {first_line(error)}"
                        outcome = Outcome(said)
                    else:
                        idle.append(actor)
                    over.append((run, outcome))
        finally:
            self._stop([*idle, *(actor for actor, _, _ in at_work.values())], list(at_work))

    def _actor(self) -> Any:
        """A new worker somewhere on the cluster, with a log of its own.

        Its `run` and `close` may be called at the same time.
        """
        options = {
            "num_cpus": self._cpus,
            "num_gpus": self._gpus,
            "max_concurrency": 2,
            "runtime_env": {"env_vars": _environment()},
        }
        log = self._logs / f"worker-{next(self._numbers)}.log"
        make = self._ray.remote(**options)(_Remote)
        return make.remote(self._command, self._cpus, log, Path.cwd())

    def _stop(self, actors: Sequence[Any], promises: Sequence[Any]) -> None:
        """Let every run in progress leave its checkpoint, then let the workers go."""
        ray = self._ray
        closing = [actor.close.remote() for actor in actors]
        ray.wait(closing, num_returns=len(closing))
        if promises:
            ray.wait(list(promises), num_returns=len(promises))
        for actor in actors:
            ray.kill(actor)


class _Remote:
    """What runs on a node: the near end of one worker process."""

    def __init__(self, command: Sequence[str], threads: int, log: Path, folder: Path) -> None:
        os.chdir(folder)  # relative paths in settings mean what they mean to the caller
        self._worker = Worker(command, threads, log)

    def run(self, run: Run) -> Outcome:
        return self._worker.run(run)

    def close(self) -> None:
        self._worker.close()


def _environment() -> dict[str, str]:
    """What a node must know to find this package, the data and the backbones."""
    here = str(Path(softprompt.__file__).parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"PYTHONPATH": os.pathsep.join(paths), **passed_on}


def _portable(run: Run) -> Run:
    """The same run, whose folder is found from any working directory."""
    output = run.settings.output.absolute()
    return Run(run.label, run.seed, run.settings.model_copy(update={"output": output}))
