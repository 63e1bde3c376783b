"""Answers to the rows of a file: row for row, in place, to be continued where they were stopped."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softprompt.answers.answering import Answerer
from softprompt.answers.journal import Journal
from softprompt.answers.kinds import Answer, joined
from softprompt.answers.making import cell_names
from softprompt.answers.output import kind_of_output, write_table
from softprompt.answers.questions import UNREAD, Questions, asked_in
from softprompt.answers.words import Words
from softprompt.data import Row
from softprompt.errors import ConfigError
from softprompt.tasks import OUTPUT_FORMS, TASKS

PROBLEM = "problem"
"""The column that says why a row has no answer."""

_STEP = 4
"""Batches between two writes of a journal: what a killed process loses at most."""


@dataclass
class Bulk:
    """The answers to a file.

    Args:
        answerer: of the prompt.
        questions: the rows.
        probabilities: whether the rows get those of everything that might have been answered.
        words: how texts to tag are cut into words.

    Raises:
        ConfigError: a file with a column of a name that the answers need.
    """

    answerer: Answerer
    questions: Questions
    probabilities: bool = False
    words: Words = "auto"
    problems: list[tuple[Row, str]] = field(default_factory=list)
    """The rows without an answer, in the order in which they were met, with the reason."""

    def __post_init__(self) -> None:
        unread = any(UNREAD in self.questions.held(row) for row in self.questions.rows if row.problem)
        names = cell_names(self.answerer.settings.task.name, self.probabilities)
        self.added = (*names, PROBLEM, *([UNREAD] if unread else []))
        twice = [name for name in self.added if name in self.questions.columns]
        if twice:
            got = f"a column '{twice[0]}', which the answers are written to"
            raise ConfigError(self.questions.name, got, "a file without it", "rename it or remove it")

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the file, and behind them those of the answers."""
        return (*self.questions.columns, *self.added)

    @property
    def step(self) -> int:
        """How many rows are answered at a time."""
        return self.answerer.settings.decoding.batch_size * _STEP

    def answered(self, first: int = 0) -> Iterator[list[tuple[Row, Answer | None, str]]]:
        """The rows from `first` on, some at a time: each with its answer, or with the reason for none."""
        rows = self.questions.rows
        for start in range(first, len(rows), self.step):
            yield self._some(rows[start : start + self.step])

    def _some(self, rows: Sequence[Row]) -> list[tuple[Row, Answer | None, str]]:
        found: list[tuple[Row, Answer | None, str]] = []
        asked, places = [], []
        for i, row in enumerate(rows):
            one, reason = asked_in(self.answerer.settings.task, self.questions, row, self.words)
            if one is not None and (error := self.answerer.problem(one)) is not None:
                one, reason = None, str(error)
            if one is not None:
                asked.append(one)
                places.append(i)
            else:
                self.problems.append((row, reason))
            found.append((row, None, reason))
        for i, answer in zip(places, self.answerer.answers(asked), strict=True):
            found[i] = (rows[i], answer, "")
        return found

    def cells(self, answer: Answer | None, reason: str) -> dict[str, Any]:
        """What is written into a row beside its own cells."""
        if answer is None:
            return {**dict.fromkeys(name for name in self.added if name != UNREAD), PROBLEM: reason}
        return {**answer.cells(self.probabilities), PROBLEM: None}

    def row_of(self, row: Row, cells: Mapping[str, Any]) -> dict[str, Any]:
        """A row of the table of predictions: what the row holds, and the cells of its answer."""
        return {**cells, **self.questions.held(row)}

    def write(
        self, output: Path, overwrite: bool = False, progress: Callable[[int], None] | None = None
    ) -> int:
        """Answer every row and write the file; returns how many rows were answered by an earlier command.

        Args:
            output: a new file; what a stopped command left of it is continued.
            overwrite: replace a file that is there, and begin anew.
            progress: called with the number of rows that are done since the last call.

        Raises:
            ConfigError: the file is there, or was begun by another command.
        """
        kind_of_output(output)
        journal = Journal(output, self._identity())
        kept = journal.begin(overwrite, self.step)
        if progress is not None and kept:
            progress(len(kept))
        cells = list(kept)
        for row, one in zip(self.questions.rows, kept, strict=False):
            if one.get(PROBLEM):
                self.problems.append((row, one[PROBLEM]))
        for some in self.answered(len(kept)):
            new = [self.cells(answer, reason) for _, answer, reason in some]
            journal.add(new)
            cells += new
            if progress is not None:
                progress(len(new))
        if kind_of_output(output) in ("csv", "tsv"):
            cells = [self._in_cells(one) for one in cells]
        rows = [self.row_of(row, one) for row, one in zip(self.questions.rows, cells, strict=True)]
        write_table(output, self.columns, rows, bare=self.questions.quotes_are_texts)
        journal.end()
        return len(kept)

    def _in_cells(self, cells: dict[str, Any]) -> dict[str, Any]:
        """The cells of a text, with several labels joined as they are in the data."""
        said = cells.get("prediction")
        if TASKS[self.answerer.settings.task.name].outputs is not OUTPUT_FORMS["labels"] or said is None:
            return cells
        separator = getattr(self.answerer.settings.task, "label_separator", None)
        return {**cells, "prediction": joined(said, separator or ";")}

    def _identity(self) -> Mapping[str, Any]:
        settings = self.answerer.settings
        digest = hashlib.sha256(repr(self.questions.columns).encode())
        for row in self.questions.rows:
            held = (row.values, row.blank, str(row.problem), row.unread)
            digest.update(repr(held).encode("utf-8", "surrogatepass"))
        prompt = hashlib.sha256(repr(self.answerer.prompt.card.head).encode())
        for name, tensor in sorted(self.answerer.prompt.tensors().items()):
            prompt.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
        # Neither the size of a batch nor the device changes what is answered.
        decoding = settings.decoding.model_dump(mode="json", exclude={"batch_size"})
        of_run = {"task": settings.task.model_dump(mode="json"), "decoding": decoding}
        return {
            "softprompt": "answers 1",
            "input": digest.hexdigest(),
            "prompt": prompt.hexdigest(),
            "backbone": self.answerer.backbone.spec.fingerprint,
            "columns": dict(self.questions.parts),
            "settings": {**of_run, "seed": settings.training.seed, "words": self.words},
            "columns of answers": list(self.added),
        }


def first_problems(problems: Sequence[tuple[Row, str]], most: int = 10) -> list[str]:
    """The first problems of a file as lines, each with its place."""
    lines = []
    for row, reason in problems[:most]:
        lines.append(reason if row.where in reason else f"{row.where}: {reason}")
    return lines + [f"... and {len(problems) - most:,} more"] * (len(problems) > most)
