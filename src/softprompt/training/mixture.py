"""One run over several tasks: a folder with a finished run folder for each part."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from softprompt.config import MixtureSettings, RunSettings
from softprompt.data.records import pairs
from softprompt.errors import ConfigError, SoftpromptError
from softprompt.metrics import higher_is_better
from softprompt.tasks.mixture import Mixture, PartExample
from softprompt.training.assemble import Assembly, assemble, resolve
from softprompt.training.disk import write_atomically, writing
from softprompt.training.evaluation import Scored, generate_and_score, mean_loss, overall
from softprompt.training.facts import hardware, versions
from softprompt.training.folder import RunFolder, claim, flat
from softprompt.training.memory import returned_after
from softprompt.training.outputs import write_outputs
from softprompt.training.plots import draw_curves
from softprompt.training.processes import Processes
from softprompt.training.progress import RunProgress, clock
from softprompt.training.run import metric_values
from softprompt.training.together import PromptSet, SeparateLoop, SharedLoop
from softprompt.training.trackers import Trackers, check_trackers
from softprompt.training.trunk import RunTrunk

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


@dataclass(frozen=True)
class MixtureResult:
    """A finished run over several tasks.

    Args:
        folder: where everything lies; each part's prompt is in `folder / part / "prompt"`.
        facts: what `result.json` says.
    """

    folder: Path
    facts: Mapping[str, Any]

    @property
    def parts(self) -> Mapping[str, Mapping[str, Any]]:
        """For each part what its own `result.json` says."""
        return self.facts["parts"]


@returned_after
def run_mixture(
    settings: MixtureSettings,
    resume: bool = False,
    console: Console | None = None,
    backbone: "Backbone | None" = None,
) -> MixtureResult:
    """Train the parts together and leave a folder that holds a run folder for each.

    Args:
        settings: of the run.
        resume: go on from the last checkpoint; a run that had already ended gives its result again.
        console: where progress is shown; None is silent.
        backbone: one already loaded as the settings say; None loads it.

    Raises:
        SoftpromptError: as `run` does, with the name of the part where it is one part's.
        KeyboardInterrupt: on Ctrl-C or SIGTERM; while training, after a checkpoint.
    """
    started = time.perf_counter()
    check_trackers(settings.training.trackers)
    processes = Processes(settings.backbone.device)
    with claim(settings, resume, processes) as (folder, ended):
        if ended is not None:
            return MixtureResult(folder.path, ended)
        with RunProgress(console if processes.is_main else None) as progress:
            if backbone is None:
                progress.say(f"loading {settings.backbone.name}")
            parts: dict[str, Assembly] = {}
            for name in settings.parts:
                with _naming(name):
                    parts[name] = assemble(settings.part(name), processes, backbone)
                backbone = parts[name].backbone
            _check_development(parts)
            running = _MixtureRun(settings, parts, folder, processes, progress)
            with running.trackers:
                return MixtureResult(folder.path, running.go(resume, started))


@contextmanager
def _naming(part: str) -> Iterator[None]:
    """Say in errors which part they are about."""
    try:
        yield
    except SoftpromptError as error:
        raise error.inside(f"part {part}") from None


def _check_development(parts: Mapping[str, Assembly]) -> None:
    without = [name for name, part in parts.items() if not part.splits.dev]
    if 0 < len(without) < len(parts):
        raise ConfigError(
            f"parts.{without[0]}.data",
            "no development set, though other parts have one",
            "one for every part or for none, since the best prompt is picked by it",
            "give data.dev or data.dev_share, or take those of the other parts away",
        )


class _MixtureRun:
    """The parts of a mixture while it is trained."""

    def __init__(
        self,
        settings: MixtureSettings,
        parts: dict[str, Assembly],
        folder: RunFolder,
        processes: Processes,
        progress: RunProgress,
    ) -> None:
        self._settings, self._parts, self._folder = settings, parts, folder
        names = settings.training.trackers if processes.is_main else []
        self.trackers = Trackers(names, settings.name, folder.path)
        self._processes, self._progress = processes, progress
        self._backbone = backbone = next(iter(parts.values())).backbone
        if settings.prompts == "shared":
            self._share()
        self._prompts = PromptSet({name: part.prompt for name, part in self._parts.items()})
        self._dev = {
            name: [part.task.encode(record) for record in pairs(part.splits.dev)]
            for name, part in self._parts.items()
        }
        examples = [
            PartExample(name, part.task.encode(record))
            for name, part in self._parts.items()
            for record in part.splits.train
        ]
        kind = SharedLoop if settings.prompts == "shared" else SeparateLoop
        self._loop = kind(
            backbone,
            Mixture(backbone, {name: part.task for name, part in self._parts.items()}),  # type: ignore[arg-type]
            self._prompts,  # type: ignore[arg-type]
            examples,
            settings.training,
            folder.checkpoints,
            processes,
            evaluate=self._evaluate if all(self._dev.values()) else None,
            log=self._log if processes.is_main else lambda line: None,
            progress=progress,
        )
        prompts = [part.prompt for part in self._parts.values()]
        self._trunk = RunTrunk(settings.training, backbone, prompts, folder.trunk, progress)

    def go(self, resume: bool, started: float) -> dict[str, Any]:
        """Train, test every part, write; returns what `result.json` says."""
        self._begin(resume)
        with self._trunk:
            state = self._loop.run()
        self._progress.say(f"trained {state.step} steps in {clock(state.seconds)}")
        parts = {name: self._finish(name, part) for name, part in self._parts.items()}
        for name, said in parts.items():
            self.trackers.scores(said["scores"], state.step, name)
        facts: dict[str, Any] = {
            "name": self._settings.name,
            "prompts": self._settings.prompts,
            "steps": state.step,
            "stopped_early": state.step < self._loop.n_steps,
            "trained_parameters": sum(p.numel() for p in self._prompts.parameters() if p.requires_grad),
            "parts": parts,
            "seconds": {
                "training": round(state.seconds, 2),
                "last_sitting": round(time.perf_counter() - started, 2),
            },
            **self._trunk.facts,
            "versions": versions(),
            "hardware": hardware(self._backbone.device, self._processes.count),
        }
        if self._processes.is_main:
            with writing(self._folder.path, "the checkpoints are kept"):
                draw_curves(list(self._folder.lines()), self._folder.path, self._settings.training.select)
                self._folder.checkpoints.prune(1)
                # Last, because it is what says that the run has ended.
                write_atomically(self._folder.result, json.dumps(facts, indent=1) + "\n")
        self._processes.wait()
        return facts

    def _begin(self, resume: bool) -> None:
        folder = self._folder
        checkpoint = folder.checkpoints.newest() if resume else None
        if self._processes.is_main:
            folder.begin(self._settings, self._resolved(), resume)
            for damaged in folder.checkpoints.damaged:
                self._progress.say(f"passed over a damaged checkpoint: {damaged}")
        if checkpoint is not None:
            self._loop.restore(checkpoint)
            self._progress.say(f"going on from step {checkpoint.step}")
        if not self._processes.is_main:
            return
        folder.rewind(self._loop.state.step, self._loop.state.evaluated)
        if not any(line["kind"] == "start" for line in folder.lines()):
            folder.append({"kind": "start", "step": 0, "steps": self._loop.n_steps})
        self.trackers.begin(flat(self._settings), self._loop.state.step)

    def _log(self, line: Mapping[str, Any]) -> None:
        self._folder.append(line)
        self.trackers.line(line)

    def _resolved(self) -> MixtureSettings:
        """The settings with the choices that hold for all parts filled in."""
        one = self._resolve(next(iter(self._parts.values())))
        every = one.training.evaluate_every
        training = self._settings.training.model_copy(update={"evaluate_every": every})
        return self._settings.model_copy(update={"backbone": one.backbone, "training": training})

    def _resolve(self, part: Assembly) -> RunSettings:
        return resolve(part, self._loop.steps_per_epoch)

    def _share(self) -> None:
        """Give every part the first one's prompt, under its own head."""
        shared = next(iter(self._parts.values())).prompt
        self._parts = {
            name: Assembly(
                part.backbone,
                part.task,
                shared.with_head(part.prompt.head),
                part.splits,
                part.settings,
                part.left_out,
            )
            for name, part in self._parts.items()
        }

    def _evaluate(self, prompts: Any, check: Callable[[], None]) -> dict[str, float]:
        training = self._settings.training
        values: dict[str, float] = {}
        for name, part in self._parts.items():
            values[f"{name}.loss"] = mean_loss(
                self._backbone,
                part.task,
                part.prompt,
                self._dev[name],
                training.batch_size,
                self._processes,
                check,
            )
            if training.select == "metric":
                metric = part.settings.metrics[0]
                scored = self._score(name, part, "development", [metric], check)
                value = overall(scored.rows, metric)
                # Turned so that more is better for every part.
                values[f"{name}.metric"] = value if higher_is_better(metric) else -value
        kinds = ("loss", "metric") if training.select == "metric" else ("loss",)
        means = {
            kind: sum(values[f"{name}.{kind}"] for name in self._parts) / len(self._parts) for kind in kinds
        }
        return {**means, **values}

    def _score(
        self,
        name: str,
        part: Assembly,
        what: str,
        metrics: list[str],
        check: Callable[[], None] = lambda: None,
    ) -> Scored:
        records = part.splits.test if what == "test" else part.splits.dev
        n_mine = len(range(self._processes.rank, len(records), self._processes.count))
        with self._progress.counter(f"{name} ({what})", n_mine) as counter:

            def progress(n: int) -> None:
                check()
                counter.add(n)

            return generate_and_score(
                self._backbone, part.task, part.prompt, records, metrics, self._processes,
                self._settings.training.seed, progress,
            )  # fmt: skip

    def _best(self, part: Assembly, name: str) -> dict[str, Any]:
        """When the part's prompt was as it is stored, and what spoke for it."""
        state, select = self._loop.state, self._settings.training.select
        own = state.parts.get(name)
        if own is None:
            metric = select if len(self._parts) == 1 else f"mean {select} of the parts"
            step = state.best_step if state.best_step >= 0 else state.step
            return {"metric": metric, "step": step, "value": state.best_value}
        step, value = own
        metric = part.settings.training.select
        turned = select == "metric" and not higher_is_better(metric)
        return {"metric": metric, "step": step, "value": -value if turned else value}

    def _finish(self, name: str, part: Assembly) -> dict[str, Any]:
        """Test one part and leave its run folder."""
        tested = self._score(name, part, "test", part.settings.metrics) if part.splits.test else None
        facts = {
            "name": name,
            "trained_with": [other for other in self._parts if other != name],
            "prompts": self._settings.prompts,
            "steps": self._loop.state.step,
            "best": self._best(part, name),
            "scores": tested.rows if tested is not None else [],
            "counts": {
                "train_pairs": len(part.splits.train),
                "dev_records": len(part.splits.dev),
                "test_records": len(part.splits.test),
                "cut_texts": part.task.n_cut,
                "left_out_records": sum(part.left_out.values()),
                "trained_parameters": part.prompt.n_trained_parameters,
                "stored_parameters": part.prompt.n_stored_parameters,
            },
            "backbone": self._backbone.card.model_dump(),
            "data_fingerprint": part.splits.fingerprint,
        }
        if self._processes.is_main:
            self._write_part(RunFolder(self._folder.path / name), part, facts, tested)
        return facts

    def _write_part(
        self, folder: RunFolder, part: Assembly, facts: dict[str, Any], tested: Scored | None
    ) -> None:
        resolved = self._resolve(part)
        data: dict[str, Any] = {"format": resolved.data.format, "fingerprint": part.splits.fingerprint}
        if self._settings.prompts == "shared":
            # The prompt has learned from these as well.
            data["shared_with"] = {
                other: self._parts[other].splits.fingerprint for other in facts["trained_with"]
            }
        baked = part.prompt.bake().describe(
            task=resolved.task.model_dump(mode="json"),
            training=resolved.model_dump(mode="json", exclude={"output"}),
            data=data,
            metrics=metric_values(facts["scores"]),
        )
        with writing(folder.path, "the checkpoints are kept"):
            folder.path.mkdir(parents=True, exist_ok=True)
        baked.save(folder.prompt)
        with writing(folder.path, "the checkpoints are kept"):
            text = yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
            write_atomically(folder.settings, text)
            if tested is not None:
                write_outputs(folder, part.task, part.splits.test, tested.outputs)
            write_atomically(folder.result, json.dumps(facts, indent=1) + "\n")
