"""One run from its settings to a folder with a trained prompt."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from softprompt.backbones.runtime import n_kept
from softprompt.config import RunSettings
from softprompt.data.records import AnyRecord, pairs
from softprompt.tasks.task import ScoreRow
from softprompt.training.assemble import Assembly, assemble, resolve
from softprompt.training.disk import write_atomically, writing
from softprompt.training.evaluation import Scored, generate_and_score, mean_loss, overall
from softprompt.training.facts import hardware, versions
from softprompt.training.folder import RunFolder, claim, flat
from softprompt.training.loop import Loop
from softprompt.training.memory import returned_after
from softprompt.training.outputs import write_outputs
from softprompt.training.plots import draw_curves
from softprompt.training.processes import Processes
from softprompt.training.progress import RunProgress, clock
from softprompt.training.trackers import Trackers, check_trackers
from softprompt.training.trunk import RunTrunk

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts.prompt import Prompt

_N_SAMPLES = 5


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Args:
        folder: where everything lies; the prompt is in `folder / "prompt"`.
        facts: what `result.json` says.
    """

    folder: Path
    facts: Mapping[str, Any]

    @property
    def scores(self) -> Sequence[ScoreRow]:
        """One row per group of test records; empty without a test set."""
        return self.facts["scores"]


@returned_after
def run(
    settings: RunSettings,
    resume: bool = False,
    console: Console | None = None,
    backbone: "Backbone | None" = None,
    bare: Sequence[Any] | None = None,
) -> RunResult:
    """Train a prompt as the settings say and leave a run folder.

    Args:
        resume: go on from the last checkpoint in the run's folder; a run that had already ended
            gives its result again.
        console: where progress is shown; None is silent.
        backbone: one already loaded as the settings say, to share among runs; None loads it.
        bare: what the backbone without a prompt writes for every test record, where that is known already;
            None asks it for the samples.

    Raises:
        TrainingError: the folder holds something else, the loss is no number, or the disk is full.
        SoftpromptError: whatever is wrong with settings, data or backbone.
        KeyboardInterrupt: on Ctrl-C or SIGTERM; while training, after a checkpoint.
    """
    started = time.perf_counter()
    check_trackers(settings.training.trackers)
    processes = Processes(settings.backbone.device)
    with claim(settings, resume, processes) as (folder, ended):
        if ended is not None:
            return RunResult(folder.path, ended)
        with RunProgress(console if processes.is_main else None) as progress:
            if backbone is None:
                progress.say(f"loading {settings.backbone.name}")
            parts = assemble(settings, processes, backbone)
            if parts.backbone.sharded:
                kept, whole = n_kept(parts.backbone.model), parts.backbone.spec.n_parameters
                progress.say(
                    f"layers shared out over {processes.count} processes: "
                    f"this one keeps {kept:,} of {whole:,} numbers"
                )
            running = _Run(settings, parts, folder, processes, progress, bare)
            with running.trackers:
                facts = running.go(resume, started)
        return RunResult(folder.path, facts)


class _Run:
    """The parts of a run while it lasts."""

    def __init__(
        self,
        asked: RunSettings,
        parts: Assembly,
        folder: RunFolder,
        processes: Processes,
        progress: RunProgress,
        bare: Sequence[Any] | None,
    ) -> None:
        self._asked, self._bare = asked, bare
        self._parts, self._folder, self._processes, self._progress = parts, folder, processes, progress
        names = asked.training.trackers if processes.is_main else []
        self.trackers = Trackers(names, asked.name, folder.path)
        self._examples: list[Any] = [parts.task.encode(record) for record in parts.splits.train]
        self._dev_examples: list[Any] = [parts.task.encode(r) for r in pairs(parts.splits.dev)]
        self._loop = Loop(
            parts.backbone,
            parts.task,
            parts.prompt,
            self._examples,
            parts.settings.training,
            folder.checkpoints,
            processes,
            evaluate=self._evaluate if parts.splits.dev else None,
            log=self._log if processes.is_main else lambda line: None,
            progress=progress,
        )
        self._settings = resolve(parts, self._loop.steps_per_epoch)
        self._trunk = RunTrunk(
            parts.settings.training, parts.backbone, [parts.prompt], folder.trunk, progress
        )
        if parts.draw_losses:
            low, high = min(parts.draw_losses), max(parts.draw_losses)
            n = len(parts.draw_losses)
            progress.say(f"examples drawn {n} times: begins from a loss of {low:.3f} ({high:.3f} at worst)")
        if parts.left_out:
            counts = ", ".join(f"{n} of {name}" for name, n in parts.left_out.items())
            progress.say(f"left out, because their answer is outside the vocabulary: {counts}")

    def go(self, resume: bool, started: float) -> dict[str, Any]:
        """Train, test, and write the folder; returns what `result.json` says."""
        self._begin(resume)
        with self._trunk:
            state = self._loop.run()
        self._progress.say(f"trained {state.step} steps in {clock(state.seconds)}")
        tested = self._test()
        samples = self._samples(tested)
        facts = self._facts(tested, time.perf_counter() - started)
        if self._processes.is_main:
            self.trackers.scores(facts["scores"], state.step)
            self._write(facts, tested, samples)
        self._processes.wait()
        return facts

    def _begin(self, resume: bool) -> None:
        settings, folder = self._settings, self._folder
        checkpoint = folder.checkpoints.newest() if resume else None
        if self._processes.is_main:
            folder.begin(self._asked, settings, resume)
            for damaged in folder.checkpoints.damaged:
                self._progress.say(f"passed over a damaged checkpoint: {damaged}")
        if checkpoint is not None:
            self._loop.restore(checkpoint)
            self._progress.say(f"going on from step {checkpoint.step}")
        if not self._processes.is_main:
            return
        folder.rewind(self._loop.state.step, self._loop.state.evaluated)
        if not any(line["kind"] == "start" for line in folder.lines()):
            line = {"kind": "start", "step": 0, "steps": self._loop.n_steps, **self._counts()}
            if self._parts.draw_losses:
                line["draw_losses"] = list(self._parts.draw_losses)
            folder.append(line)
        self.trackers.begin(flat(settings), self._loop.state.step)

    def _log(self, line: Mapping[str, Any]) -> None:
        self._folder.append(line)
        self.trackers.line(line)

    def _evaluate(self, prompt: "Prompt", check: Callable[[], None]) -> dict[str, float]:
        parts, settings = self._parts, self._settings.training
        values = {
            "loss": mean_loss(
                parts.backbone,
                parts.task,
                prompt,
                self._dev_examples,
                settings.batch_size,
                self._processes,
                check,
            )
        }
        if settings.select != "loss":
            scored = self._generate("development", prompt, parts.splits.dev, [settings.select], check)
            values[settings.select] = overall(scored.rows, settings.select)
        return values

    def _generate(
        self,
        what: str,
        prompt: "Prompt | None",
        records: Sequence[AnyRecord],
        metrics: Sequence[str],
        check: Callable[[], None] = lambda: None,
    ) -> Scored:
        n_mine = len(range(self._processes.rank, len(records), self._processes.count))
        with self._progress.counter(f"generating ({what})", n_mine) as counter:

            def progress(n: int) -> None:
                check()
                counter.add(n)

            return generate_and_score(
                self._parts.backbone,
                self._parts.task,
                prompt,
                records,
                metrics,
                self._processes,
                self._settings.training.seed,
                progress,
            )

    def _test(self) -> Scored | None:
        if not self._parts.splits.test:
            return None
        return self._generate("test", self._parts.prompt, self._parts.splits.test, self._settings.metrics)

    def _samples(self, tested: Scored | None) -> str:
        """A few records with what the bare backbone and the prompt write for them."""
        splits = self._parts.splits
        records = splits.test or splits.dev or splits.train
        chosen = range(0, len(records), max(1, len(records) // _N_SAMPLES))[:_N_SAMPLES]
        some = [records[i] for i in chosen]
        bare = self._parts.task.answers_bare
        if not bare:
            before = [None] * len(some)
        elif self._bare is not None and splits.test:
            before = [self._bare[i] for i in chosen]
        else:
            before = self._generate("bare backbone", None, some, []).outputs
        if tested is not None:
            after = [tested.outputs[i] for i in chosen]
        else:
            after = self._generate("samples", self._parts.prompt, some, []).outputs
        return "\n".join(
            f"[{record.id}]\nsource:    {record.source}\nreference: {' / '.join(record.targets[:1])}\n"
            + (f"before:    {old}\n" if bare else "")
            + f"after:     {new}\n"
            for record, old, new in zip(some, before, after, strict=True)
        )

    def _counts(self) -> dict[str, int]:
        splits, prompt = self._parts.splits, self._parts.prompt
        return {
            "train_pairs": len(splits.train),
            "dev_records": len(splits.dev),
            "test_records": len(splits.test),
            "train_tokens": sum(example.length for example in self._examples),
            "cut_texts": self._parts.task.n_cut,
            "left_out_records": sum(self._parts.left_out.values()),
            "trained_parameters": prompt.n_trained_parameters,
            "stored_parameters": prompt.n_stored_parameters,
        }

    def _facts(self, tested: Scored | None, total_s: float) -> dict[str, Any]:
        state, backbone = self._loop.state, self._parts.backbone
        return {
            "name": self._settings.name,
            "steps": state.step,
            "stopped_early": state.step < self._loop.n_steps,
            "best": {
                "metric": self._settings.training.select,
                "step": state.best_step if state.best_step >= 0 else state.step,
                "value": state.best_value,
            },
            "scores": tested.rows if tested is not None else [],
            "counts": self._counts(),
            "seconds": {"training": round(state.seconds, 2), "last_sitting": round(total_s, 2)},
            **self._trunk.facts,
            "backbone": backbone.card.model_dump(),
            "data_fingerprint": self._parts.splits.fingerprint,
            "versions": versions(),
            "hardware": hardware(backbone.device, self._processes.count),
        }

    def _write(self, facts: dict[str, Any], tested: Scored | None, samples: str) -> None:
        folder, parts = self._folder, self._parts
        baked = parts.prompt.bake().describe(
            task={**self._settings.task.model_dump(mode="json")},
            training=self._settings.model_dump(mode="json", exclude={"output"}),
            data={"format": self._settings.data.format, "fingerprint": parts.splits.fingerprint},
            metrics=metric_values(facts["scores"]),
        )
        baked.save(folder.prompt)
        with writing(folder.path, "the checkpoints are kept"):
            draw_curves(list(folder.lines()), folder.path, self._settings.training.select)
            write_atomically(folder.samples, samples)
            if tested is not None:
                write_outputs(folder, parts.task, parts.splits.test, tested.outputs)
            folder.checkpoints.prune(1)
            # Last, because it is what says that the run has ended.
            write_atomically(folder.result, json.dumps(facts, indent=1) + "\n")


def metric_values(rows: Sequence[ScoreRow]) -> dict[str, float]:
    """The scores of all records, as a prompt's card keeps them."""
    return next((dict(row["values"]) for row in rows if row["group"] == "all"), {})
