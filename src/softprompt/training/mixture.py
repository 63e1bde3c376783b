"""One run over several tasks: a folder with a finished run folder for each part."""

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console

from softprompt.config import MixtureSettings
from softprompt.data.records import pairs
from softprompt.metrics.scores import HIGHER_IS_BETTER
from softprompt.tasks.mixture import Mixture, PartExample
from softprompt.training.assemble import Assembly, assemble, load, resolve
from softprompt.training.batches import steps_per_epoch
from softprompt.training.disk import write_atomically, writing
from softprompt.training.evaluation import Scored, generate_and_score, mean_loss, overall
from softprompt.training.facts import hardware, versions
from softprompt.training.folder import RunFolder
from softprompt.training.plots import draw_curves
from softprompt.training.processes import Processes
from softprompt.training.progress import RunProgress, clock
from softprompt.training.run import RunResult, metric_values
from softprompt.training.together import PromptSet, SeparateLoop, SharedLoop

if TYPE_CHECKING:
    from softprompt.backbones.backbone import Backbone


def run_mixture(
    settings: MixtureSettings,
    resume: bool = False,
    console: Console | None = None,
    backbone: "Backbone | None" = None,
) -> RunResult:
    """Train the parts together and leave a folder that holds a run folder for each.

    Args:
        settings: of the run.
        resume: go on from the last checkpoint.
        console: where progress is shown; None is silent.
        backbone: one already loaded as the settings say; None loads it.

    Returns:
        The folder and what its `result.json` says: `parts`, each as the result of a run of its own.

    Raises:
        SoftpromptError: as `run` does.
        KeyboardInterrupt: on Ctrl-C or SIGTERM; while training, after a checkpoint.
    """
    processes = Processes(settings.backbone.device)
    folder = RunFolder(settings.folder)
    if processes.is_main:
        folder.check(settings, resume)
    processes.wait()
    ended = folder.finished() if resume else None
    if ended is not None:
        return RunResult(folder.path, ended)
    with RunProgress(console if processes.is_main else None) as progress:
        progress.say(f"loading {settings.backbone.name}")
        first = settings.part(next(iter(settings.parts)))
        backbone = backbone or load(first, processes.device)
        running = _MixtureRun(settings, backbone, folder, processes, progress)
        return RunResult(folder.path, running.go(resume))


class _MixtureRun:
    """The parts of a mixture while it is trained."""

    def __init__(
        self,
        settings: MixtureSettings,
        backbone: "Backbone",
        folder: RunFolder,
        processes: Processes,
        progress: RunProgress,
    ) -> None:
        self._settings, self._backbone, self._folder = settings, backbone, folder
        self._processes, self._progress = processes, progress
        self._parts = {name: assemble(settings.part(name), processes, backbone) for name in settings.parts}
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
            log=folder.append if processes.is_main else lambda line: None,
            progress=progress,
        )

    def go(self, resume: bool) -> dict[str, Any]:
        """Train, test every part, write; returns what `result.json` says."""
        checkpoint = self._folder.checkpoints.newest() if resume else None
        if self._processes.is_main:
            self._folder.begin(self._settings, resume)
        if checkpoint is not None:
            self._loop.restore(checkpoint)
            self._progress.say(f"going on from step {checkpoint.step}")
        if self._processes.is_main:
            self._folder.rewind(self._loop.state.step, self._loop.state.evaluated)
            if not any(self._folder.lines()):
                self._folder.append({"kind": "start", "step": 0, "steps": self._loop.n_steps})
        state = self._loop.run()
        self._progress.say(f"trained {state.step} steps in {clock(state.seconds)}")
        started = time.perf_counter()
        facts: dict[str, Any] = {
            "name": self._settings.name,
            "prompts": self._settings.prompts,
            "steps": state.step,
            "trained_parameters": sum(p.numel() for p in self._prompts.parameters() if p.requires_grad),
            "parts": {name: self._finish(name, part) for name, part in self._parts.items()},
            "seconds": {"training": round(state.seconds, 2)},
            "versions": versions(),
            "hardware": hardware(self._backbone.device, self._processes.count),
        }
        facts["seconds"]["testing"] = round(time.perf_counter() - started, 2)
        if self._processes.is_main:
            with writing(self._folder.path, "the checkpoints are kept"):
                draw_curves(list(self._folder.lines()), self._folder.path, self._settings.training.select)
                self._folder.checkpoints.prune(1)
                write_atomically(self._folder.result, json.dumps(facts, indent=1) + "\n")
        self._processes.wait()
        return facts

    def _share(self) -> None:
        """Give every part the first one's prompt, under its own head."""
        shared = next(iter(self._parts.values())).prompt
        self._parts = {
            name: Assembly(
                part.backbone, part.task, shared.with_head(part.prompt.head), part.splits, part.settings
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
                value = overall(self._score(name, part, "development", [metric]).rows, metric)
                # Turned so that more is better for every part.
                values[f"{name}.metric"] = value if HIGHER_IS_BETTER[metric] else -value
        kinds = ("loss", "metric") if training.select == "metric" else ("loss",)
        means = {
            kind: sum(values[f"{name}.{kind}"] for name in self._parts) / len(self._parts) for kind in kinds
        }
        return {**means, **values}

    def _score(self, name: str, part: Assembly, what: str, metrics: list[str]) -> Scored:
        records = part.splits.test if what == "test" else part.splits.dev
        n_mine = len(range(self._processes.rank, len(records), self._processes.count))
        with self._progress.counter(f"{name} ({what})", n_mine) as counter:
            return generate_and_score(
                self._backbone, part.task, part.prompt, records, metrics, self._processes,
                self._settings.training.seed, counter.add,
            )  # fmt: skip

    def _finish(self, name: str, part: Assembly) -> dict[str, Any]:
        """Test one part and leave its run folder."""
        tested = self._score(name, part, "test", part.settings.metrics) if part.splits.test else None
        step, value = self._loop.state.parts.get(name, (self._loop.state.best_step, None))
        facts = {
            "name": name,
            "steps": self._loop.state.step,
            "best": {"metric": self._settings.training.select, "step": step, "value": value},
            "scores": tested.rows if tested is not None else [],
            "counts": {
                "train_pairs": len(part.splits.train),
                "dev_records": len(part.splits.dev),
                "test_records": len(part.splits.test),
                "cut_texts": part.task.n_cut,
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
        resolved = resolve(part, steps_per_epoch(len(part.splits.train), part.settings.training.batch_size))
        baked = part.prompt.bake().describe(
            task=resolved.task.model_dump(mode="json"),
            training=resolved.model_dump(mode="json", exclude={"output"}),
            data={"format": resolved.data.format, "fingerprint": part.splits.fingerprint},
            metrics=metric_values(facts["scores"]),
        )
        with writing(folder.path, "the checkpoints are kept"):
            folder.path.mkdir(parents=True, exist_ok=True)
        baked.save(folder.prompt)
        with writing(folder.path, "the checkpoints are kept"):
            text = yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
            write_atomically(folder.settings, text)
            if tested is not None:
                rows = zip(part.splits.test, tested.outputs, strict=True)
                lines = [json.dumps({"id": r.id, "source": r.source, "output": o}) + "\n" for r, o in rows]
                write_atomically(folder.outputs, "".join(lines))
            write_atomically(folder.result, json.dumps(facts, indent=1) + "\n")
