"""One label, or one number, for a text or a pair of texts."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from softprompt.data import LabelledText
from softprompt.errors import DataError
from softprompt.tasks.inputs import RowForm, labels_tensor
from softprompt.tasks.reading import ReadingExample, ReadingTask
from softprompt.tasks.task import ScoreRow, score_row


class ClassificationTask(ReadingTask):
    """Single and paired sequence classification: cross-entropy on the head's outputs.

    Source: P-Tuning v2 (2110.07602) §3.2 and §4.1. Deviation: no task prefix words (its WiC template
    stands in the reader).
    """

    record = LabelledText

    def _example(self, record: LabelledText, form: RowForm, labelled: bool) -> ReadingExample:
        where = f"record {record.id}"
        row = form.row(record.text, record.second, where)
        wanted = (self._index(record.label, where),) if labelled else ()
        return ReadingExample(record.id, (row,), wanted)

    def _loss(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
        wanted = labels_tensor([example.labels[0] for example in examples], outputs.device)
        return F.cross_entropy(outputs, wanted, reduction="sum")

    def _answers(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Any]:
        return [self.labels[i] for i in outputs.argmax(-1).tolist()]

    def score(
        self, records: Sequence[LabelledText], outputs: Sequence[str], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """One row, `all`: the labels against the records'."""
        from softprompt.metrics import score

        references = [str(record.label) for record in records]
        # Only MultiRC has questions with several answers.
        groups = [record.tags["question"] for record in records if "question" in record.tags]
        facts = {"labels": self.labels, "groups": groups or None}
        result = score(metrics, outputs, references, task=self.settings.name, **facts)
        return [score_row("all", result)]


class RegressionTask(ReadingTask):
    """A number for a text or a pair: squared error on the head's one output."""

    record = LabelledText

    def _example(self, record: LabelledText, form: RowForm, labelled: bool) -> ReadingExample:
        where = f"record {record.id}"
        row = form.row(record.text, record.second, where)
        return ReadingExample(record.id, (row,), (_number(record.label, where),) if labelled else ())

    def _loss(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
        wanted = torch.tensor([example.labels[0] for example in examples], device=outputs.device)
        return F.mse_loss(outputs[:, 0], wanted.float(), reduction="sum")

    def _answers(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Any]:
        return outputs[:, 0].tolist()

    def score(
        self, records: Sequence[LabelledText], outputs: Sequence[float], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """One row, `all`: the numbers against the records'."""
        from softprompt.metrics import score

        references = [_number(record.label, f"record {record.id}") for record in records]
        result = score(metrics, outputs, references, task=self.settings.name)
        return [score_row("all", result)]


def _number(label: str | None, where: str) -> float:
    try:
        number = float(label if label is not None else "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(where, "no label" if label is None else f"the label '{label}'", "a finite number")
    return number
