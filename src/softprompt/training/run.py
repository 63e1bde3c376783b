"""One run, of one task or of several, from its settings to a folder with a trained prompt for each."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from softprompt.backbones import n_kept
from softprompt.config import MixtureSettings, RunSettings
from softprompt.errors import counted
from softprompt.extras import installation, missing
from softprompt.files import json_text, without_folders, write_atomically, writing
from softprompt.tasks import ScoreRow
from softprompt.training.activation_cache import RunActivationCache
from softprompt.training.distributed import Processes
from softprompt.training.loop import ExplodedError, Loop
from softprompt.training.memory import enough_memory, returned_after
from softprompt.training.multitask import joined, objective_of, turned
from softprompt.training.progress import RunProgress, clock
from softprompt.training.run_folder import RunFolder, acquire, as_yaml, draw_curves, flat, hardware, versions
from softprompt.training.setup import (
    RunComponents,
    build_parts,
    resolve,
    resolve_parts,
    with_training_defaults,
)
from softprompt.training.task_run import KEPT, TaskRun
from softprompt.training.trackers import Trackers, check_trackers

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        folder: of the run; the prompt of a single task is in `folder / "prompt"`, that of each of several in
            `folder / part / "prompt"`.
        facts: the content of `result.json`.
    """

    folder: Path
    facts: Mapping[str, Any]

    @property
    def scores(self) -> Sequence[ScoreRow]:
        """One row per group of test records; empty without a test set, and for several tasks."""
        return self.facts.get("scores", [])

    @property
    def parts(self) -> Mapping[str, Mapping[str, Any]]:
        """The content of each part's `result.json` by its name; empty for a single task."""
        return self.facts.get("parts", {})


@returned_after
def train(
    settings: RunSettings | MixtureSettings,
    resume: bool = False,
    console: Console | None = None,
    backbone: "Backbone | None" = None,
    bare: Sequence[Any] | None = None,
) -> RunResult:
    """Train a prompt, or one for each of several tasks, as the settings say, and leave a run folder.

    Args:
        settings: of the run.
        resume: continue from the last checkpoint in the run's folder; a run that has already ended
            returns its result again.
        console: where progress is shown; None is silent.
        backbone: one already loaded as the settings say, to share among runs; None loads it.
        bare: the output of the backbone without a prompt for every test record of a single task, where it is
            known already; None generates what the samples need.

    Raises:
        TrainingError: the folder holds something else, the loss explodes or is no number, or disk or memory
            is full.
        SoftpromptError: a mistake in settings, data or backbone; in one of several tasks, with its name.
        KeyboardInterrupt: on Ctrl-C or SIGTERM; while training, after a checkpoint.
    """
    started = time.perf_counter()
    check_trackers(settings.training.trackers)
    processes = Processes(settings.backbone.device)
    with enough_memory(), acquire(settings, resume, processes) as (folder, ended):
        if ended is not None:
            return RunResult(folder.path, ended)
        with RunProgress(console if processes.is_main else None) as progress:
            if backbone is None:
                progress.say(f"loading {settings.backbone.name}")
            parts = build_parts(settings, processes, backbone)
            if missing("plots"):
                progress.say(f"no curves are drawn without matplotlib: {installation('plots')}")
            chosen = with_training_defaults(settings, parts, folder.stored_training() if resume else {})
            for line in chosen.said:
                progress.say(line)
            running = _Run(
                settings, chosen.settings, chosen.parts, folder, processes, progress, chosen.usual_rate
            )
            with running.trackers:
                return RunResult(folder.path, running.go(resume, bare, started))


class _Run:
    """The state of a run in progress.

    Args:
        written: the settings as the user wrote them.
        asked: the same with the rates and steps that they left to the method.
        usual_rate: the method's default learning rate.
    """

    def __init__(
        self,
        written: RunSettings | MixtureSettings,
        asked: RunSettings | MixtureSettings,
        parts: Mapping[str, RunComponents],
        folder: RunFolder,
        processes: Processes,
        progress: RunProgress,
        usual_rate: float,
    ) -> None:
        self._written, self._asked, self._parts, self._folder = written, asked, parts, folder
        self._processes, self._progress = processes, progress
        self._backbone = next(iter(parts.values())).backbone
        names = asked.training.trackers if processes.is_main else []
        self.trackers = Trackers(names, asked.name, folder.path)
        self._tasks = {name: TaskRun(name, part, processes, progress) for name, part in parts.items()}
        self._objective = objective_of(asked, self._tasks)
        self._loop = Loop(
            self._objective,
            folder.checkpoints,
            processes,
            evaluate=self._evaluate if all(task.dev_examples for task in self._tasks.values()) else None,
            log=self._log if processes.is_main else lambda line: None,
            progress=progress,
            usual_rate=usual_rate,
        )
        prompts = [part.prompt for part in parts.values()]
        self._cache = RunActivationCache(asked.training, self._backbone, prompts, progress)
        if self._backbone.sharded:
            kept, whole = n_kept(self._backbone.model), self._backbone.spec.n_parameters
            progress.say(
                f"layers shared out over {processes.count} processes: "
                f"this one keeps {kept:,} of {whole:,} numbers"
            )
        for task in self._tasks.values():
            task.report()

    def go(self, resume: bool, bare: Sequence[Any] | None, started: float) -> dict[str, Any]:
        """Train, test, and write the folder; returns the content of `result.json`."""
        self._begin(resume)
        try:
            with self._cache:
                state = self._loop.run()
        except ExplodedError as error:
            if self._processes.is_main:
                self._folder.explode(str(error))
            raise
        self._progress.say(f"trained {counted(state.step, 'step')} in {clock(state.seconds)}")
        parts = {name: self._finish(task, bare) for name, task in self._tasks.items()}
        facts = self._facts(parts, time.perf_counter() - started)
        if self._processes.is_main:
            for name, of_part in parts.items():
                self.trackers.scores(of_part["scores"], state.step, name)
            with writing(self._folder.path, KEPT):
                if not missing("plots"):
                    draw_curves(list(self._folder.lines()), self._folder.path, self._asked.training.select)
                self._folder.checkpoints.prune(1)
                # Last, since a folder with this file is a finished run.
                write_atomically(self._folder.result, _as_json(facts))
        self._processes.wait()
        return facts

    def _begin(self, resume: bool) -> None:
        folder = self._folder
        settings = resolve_parts(self._asked, self._parts, self._objective.steps_per_epoch)
        checkpoint = folder.checkpoints.newest() if resume else None
        if self._processes.is_main:
            folder.begin(self._written, settings, resume)
            for damaged in folder.checkpoints.damaged:
                self._progress.say(f"passed over a damaged checkpoint: {damaged}")
        if checkpoint is not None:
            self._loop.restore(checkpoint)
            self._progress.say(f"going on from step {checkpoint.step}")
        if not self._processes.is_main:
            return
        folder.rewind(self._loop.state.step, self._loop.state.evaluated)
        if not any(line["kind"] == "start" for line in folder.lines()):
            line = {"kind": "start", "step": 0, "steps": self._loop.n_steps}
            if task := self._tasks.get(""):
                line |= task.counts()
                line |= {"draw_losses": list(task.parts.draw_losses)} if task.parts.draw_losses else {}
            folder.append(line)
        self.trackers.begin(flat(settings), self._loop.state.step)

    def _log(self, line: Mapping[str, Any]) -> None:
        self._folder.append(line)
        self.trackers.line(line)

    def _evaluate(self, check: Callable[[], None]) -> dict[str, float]:
        measured = {name: task.develop(check) for name, task in self._tasks.items()}
        return measured[""] if "" in measured else joined(measured)

    def _finish(self, task: TaskRun, bare: Sequence[Any] | None) -> dict[str, Any]:
        """Test one task and write its files; returns its entries of the result."""
        tested, asked, name, shared_with = task.test(), self._asked, task.name, None
        facts = {"best": self._best(task), **task.facts(tested)}
        if isinstance(asked, MixtureSettings):
            others = {key: part.splits.fingerprint for key, part in self._parts.items() if key != name}
            shared_with = others if asked.prompts == "shared" else None
            together = {"name": name, "trained_with": list(others), "prompts": asked.prompts}
            facts = {**together, "steps": self._loop.state.step, **facts}
        samples = "" if name else task.samples(tested, bare)
        if self._processes.is_main:
            folder = RunFolder(self._folder.path / name)
            settings = resolve(task.parts, self._objective.steps_per_epoch)
            task.save(folder, settings, tested, shared_with)
            with writing(folder.path, KEPT):
                if name:
                    write_atomically(folder.settings, as_yaml(settings))
                    write_atomically(folder.result, _as_json(facts))
                else:
                    write_atomically(folder.samples, samples)
        return facts

    def _best(self, task: TaskRun) -> dict[str, Any]:
        """The step at which a task's stored prompt was the best, and the value that selected it."""
        state, select = self._loop.state, self._asked.training.select
        if task.name in state.parts:
            step, value = state.parts[task.name]
            metric = task.parts.settings.training.select
            value = value if select == "loss" else turned(metric, value)
        else:
            metric = select if len(self._tasks) == 1 else f"mean {select} of the parts"
            step = state.best_step if state.best_step >= 0 else state.step
            value = state.best_value
        return {"metric": metric, "step": step, "value": value}

    def _facts(self, parts: Mapping[str, Mapping[str, Any]], total_s: float) -> dict[str, Any]:
        """The result of the whole run, from the entries of each task."""
        state = self._loop.state
        if isinstance(self._asked, MixtureSettings):
            n_trained = sum(p.numel() for p in self._objective.parameters.values())
            own = {"prompts": self._asked.prompts, "trained_parameters": n_trained, "parts": parts}
        else:
            own = parts[""]
        return {
            "name": self._asked.name,
            "steps": state.step,
            "stopped_early": state.step < self._loop.n_steps,
            **own,
            "seconds": {"training": round(state.seconds, 2), "last_sitting": round(total_s, 2)},
            **self._cache.facts,
            "versions": versions(),
            "hardware": hardware(self._backbone.device, self._processes.count),
        }


def _as_json(facts: Mapping[str, Any]) -> str:
    return json_text(without_folders(facts))
