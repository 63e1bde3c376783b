"""One task of a run while it lasts: measured, tested, and left as files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from softprompt.config import RunSettings
from softprompt.data import AnyRecord, Choices, pairs
from softprompt.files import json_line, write_atomically, writing
from softprompt.tasks import Outcome
from softprompt.training.distributed import Processes
from softprompt.training.evaluation import Scored, generate_and_score, mean_loss, overall
from softprompt.training.loop import rank_slice
from softprompt.training.progress import RunProgress
from softprompt.training.run_folder import RunFolder
from softprompt.training.setup import RunComponents

KEPT = "the checkpoints are kept"
"""What remains of a run that cannot write its results, for the error."""

_N_SAMPLES = 5


class TaskRun:
    """A task with its encoded examples.

    Args:
        name: of the part that it is; empty for the single task of a run.
        parts: its components.
        processes: that work together.
        progress: shows what is generated.
    """

    def __init__(self, name: str, parts: RunComponents, processes: Processes, progress: RunProgress) -> None:
        self.name, self.parts = name, parts
        self._processes, self._progress = processes, progress
        self.examples: list[Any] = [parts.task.encode(record) for record in parts.splits.train]
        self.dev_examples: list[Any] = [parts.task.encode(record) for record in pairs(parts.splits.dev)]

    def develop(self, check: Callable[[], None]) -> dict[str, float]:
        """The loss on the development set, and the metric that selects the best prompt if there is one.

        Args:
            check: called where evaluation may be interrupted.
        """
        parts, settings, examples = self.parts, self.parts.settings.training, self.dev_examples
        size = settings.batch_size
        loss = mean_loss(parts.backbone, parts.task, parts.prompt, examples, size, self._processes, check)
        if settings.select == "loss":
            return {"loss": loss}
        scored = self._generate("development", parts.splits.dev, [settings.select], check=check)
        return {"loss": loss, settings.select: overall(scored.rows, settings.select)}

    def test(self) -> Scored | None:
        """Outputs and scores on the test set; None without one."""
        records, task = self.parts.splits.test, self.parts.task
        if not records:
            return None
        n_before = task.n_cut
        tested = self._generate("test", records, self.parts.settings.metrics)
        # Cuts of the training texts were said at the start.
        self._say(task.cut_note if task.n_cut > n_before else "")
        self._say(tested.note)
        return tested

    def samples(self, tested: Scored | None, bare: Sequence[Any] | None) -> str:
        """A few records with the outputs of the bare backbone and of the prompt.

        Args:
            tested: outputs on the test set.
            bare: the bare backbone's output for every test record, where it is known.
        """
        splits, task, before = self.parts.splits, self.parts.task, None
        records = splits.test or splits.dev or splits.train
        chosen = range(0, len(records), max(1, len(records) // _N_SAMPLES))[:_N_SAMPLES]
        some = [records[i] for i in chosen]
        if task.answers_bare and bare is not None and splits.test:
            before = [bare[i] for i in chosen]
        elif task.answers_bare:
            before = self._generate("bare backbone", some, [], prompted=False).outputs
        if tested is not None:
            after = [tested.outputs[i] for i in chosen]
        else:
            after = self._generate("samples", some, []).outputs
        return "\n".join(
            f"[{record.id}]\nsource:    {record.source}\nreference: {' / '.join(record.targets[:1])}\n"
            + ("" if before is None else f"before:    {before[i]}\n")
            + f"after:     {after[i]}\n"
            for i, record in enumerate(some)
        )

    def counts(self, tested: Scored | None = None) -> dict[str, int]:
        """How many records, texts, tokens and parameters there are, and how many answers were cut."""
        splits, prompt = self.parts.splits, self.parts.prompt
        return {
            "train_pairs": len(splits.train),
            "dev_records": len(splits.dev),
            "test_records": len(splits.test),
            "train_tokens": sum(example.length for example in self.examples),
            "cut_texts": self.parts.task.n_cut,
            "left_out_records": sum(self.parts.left_out.values()),
            "trained_parameters": prompt.n_trained_parameters,
            "stored_parameters": prompt.n_stored_parameters,
            **self.parts.task.counts,
            **({} if tested is None else {"cut_answers": tested.n_cut}),
        }

    def facts(self, tested: Scored | None) -> dict[str, Any]:
        """The task's entries of a result, of a single task and of one of several alike."""
        return {
            "scores": tested.rows if tested is not None else [],
            "counts": {**self.counts(tested), "skipped_rows": self.parts.splits.n_skipped},
            "reading": list(self.parts.splits.notes),
            "backbone": self.parts.backbone.card.model_dump(),
            "data_fingerprint": self.parts.splits.fingerprint,
        }

    def report(self) -> None:
        """Print what was found while reading, the losses of drawn examples, and what was left out."""
        begin = f"{self.name}: " if self.name else ""
        for note in self.parts.splits.notes:
            self._progress.say(f"{begin}{note}")
        if losses := self.parts.draw_losses:
            low, high = min(losses), max(losses)
            self._progress.say(
                f"{begin}examples drawn {len(losses)} times: "
                f"begins from a loss of {low:.3f} ({high:.3f} at worst)"
            )
        if self.parts.left_out:
            counts = ", ".join(f"{n} of {split}" for split, n in self.parts.left_out.items())
            self._progress.say(f"{begin}left out, because their answer is outside the vocabulary: {counts}")
        card, method = self.parts.prompt.card, self.parts.settings.method
        if getattr(method, "tune", None) == "auto" and card.tune != "bitfit":
            where = self.parts.backbone.spec.name
            self._say(f"{where} has no biases to train, so that {card.tune} is trained (method.tune)")
        self._say(self.parts.task.form_note)
        self._say(self.parts.task.cut_note)

    def _say(self, note: str) -> None:
        """Print a note, if there is one."""
        if note:
            self._progress.say(f"{self.name + ': ' if self.name else ''}note: {note}")

    def save(
        self,
        folder: RunFolder,
        settings: RunSettings,
        tested: Scored | None,
        shared_with: Mapping[str, str] | None = None,
    ) -> None:
        """Write the prompt with what it was made from, and the outputs.

        Args:
            folder: of the run, or of this part of it.
            settings: resolved; the prompt's card repeats them.
            tested: outputs and scores.
            shared_with: for a shared prompt, the data fingerprints of the other parts by name; else None.

        Raises:
            TrainingError: the disk is full or the folder cannot be written.
        """
        splits = self.parts.splits
        data: dict[str, Any] = {"format": settings.data.format, "fingerprint": splits.fingerprint}
        if splits.columns:
            # Files of questions are read by the same columns, whatever else they have.
            data["columns"] = dict(splits.columns)
        if shared_with is not None:
            data["shared_with"] = dict(shared_with)
        rows = tested.rows if tested is not None else []
        baked = self.parts.prompt.bake().describe(
            task=settings.task.model_dump(mode="json"),
            training=settings.model_dump(mode="json", exclude={"output"}),
            data=data,
            metrics=next((dict(row["values"]) for row in rows if row["group"] == "all"), {}),
        )
        with writing(folder.path, KEPT):
            folder.path.mkdir(parents=True, exist_ok=True)
        baked.save(folder.prompt)
        if tested is None:
            return
        with writing(folder.path, KEPT):
            write_atomically(folder.outputs, output_lines(splits.test, tested.outcomes))
            for name, content in self.parts.task.files(splits.test, tested.outcomes).items():
                write_atomically(folder.path / name, content)

    def _generate(
        self,
        what: str,
        records: Sequence[AnyRecord],
        metrics: Sequence[str],
        prompted: bool = True,
        check: Callable[[], None] = lambda: None,
    ) -> Scored:
        parts, processes = self.parts, self._processes
        n_own = len(rank_slice(range(len(records)), processes.rank, processes.count))
        with self._progress.counter(f"{self.name or 'generating'} ({what})", n_own) as counter:

            def progress(n: int) -> None:
                check()
                counter.add(n)

            prompt, seed = parts.prompt if prompted else None, parts.settings.training.seed
            return generate_and_score(
                parts.backbone, parts.task, prompt, records, metrics, processes, seed, progress
            )


_MOST_KEPT = 10
"""Labels whose probabilities are kept of a record, the likeliest ones."""


def output_lines(records: Sequence[AnyRecord], outcomes: Sequence[Any]) -> str:
    """A line of JSON per record, see `output_line`."""
    lines = [output_line(record, outcome) for record, outcome in zip(records, outcomes, strict=True)]
    return "".join(map(json_line, lines))


def output_line(record: AnyRecord, outcome: Any) -> dict[str, Any]:
    """What is kept of a record: its id and source, the references or the right answer, and the output.

    Where the task gives probabilities, they stand beside the output, those of labels for the ten likeliest. A
    record with choices keeps them too, since its output is the index of one.

    Args:
        record: that was answered.
        outcome: a `softprompt.tasks.Outcome`, or an output without probabilities.
    """
    outcome = outcome if isinstance(outcome, Outcome) else Outcome(outcome)
    line = {"id": record.id, "source": record.source, "references": list(record.targets)}
    line["output"] = outcome.output
    given = outcome.probabilities
    if isinstance(given, Mapping):
        first = list(given.items())[:_MOST_KEPT]
        line["probabilities"] = {label: round(share, 4) for label, share in first}
    elif given is not None:
        line["probabilities"] = [round(share, 4) for share in given]
    if isinstance(record, Choices):
        line["choices"] = list(record.choices)
    return line
