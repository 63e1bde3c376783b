"""One label, or one number, for a text or a pair of texts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from softprompt.data import LabelledText
from softprompt.errors import DataError
from softprompt.tasks.examples import ScoreRow, score_row
from softprompt.tasks.headed.reading_task import ReadingExample, ReadingTask
from softprompt.tasks.inputs import RowForm, labels_tensor


class ClassificationTask(ReadingTask):
    """Single and paired sequence classification: cross-entropy on the head's outputs.

    Source: P-Tuning v2 (2110.07602) §3.2 and §4.1. Deviation: no words of the task before the text (the
    reader writes the template of WiC).
    """

    def example(self, record: LabelledText, form: RowForm, labelled: bool) -> ReadingExample:
        where = f"record {record.id}"
        row = form.row(record.text, record.second, where)
        target = (self.index_of(record.label, where),) if labelled else ()
        return ReadingExample(record.id, (row,), target)

    def head_loss(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
        targets = labels_tensor([example.labels[0] for example in examples], outputs.device)
        weights = self.weights_of_labels(outputs)
        return F.cross_entropy(outputs, targets, weight=weights, reduction="sum")

    def answers(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Any]:
        return [self.labels[i] for i in outputs.argmax(-1).tolist()]

    def details(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Mapping[str, Any]]:
        return [{"probabilities": row} for row in outputs.softmax(-1).tolist()]

    def score(
        self, records: Sequence[LabelledText], outputs: Sequence[str], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """One row, `all`: the labels against the records'."""
        from softprompt.metrics import score

        references = [str(record.label) for record in records]
        # MultiRC's records, answers to one question, have their question as a tag.
        groups = [record.tags["question"] for record in records if "question" in record.tags]
        facts = {"labels": self.labels, "groups": groups or None}
        result = score(metrics, outputs, references, task=self.settings.name, **facts)
        return [score_row("all", result)]


class RegressionTask(ReadingTask):
    """A number for a text or a pair: squared error on the head's one output."""

    def example(self, record: LabelledText, form: RowForm, labelled: bool) -> ReadingExample:
        where = f"record {record.id}"
        row = form.row(record.text, record.second, where)
        return ReadingExample(record.id, (row,), (_number(record.label, where),) if labelled else ())

    def head_loss(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
        targets = torch.tensor([example.labels[0] for example in examples], device=outputs.device)
        return F.mse_loss(outputs[:, 0], targets.float(), reduction="sum")

    def answers(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Any]:
        return outputs[:, 0].tolist()

    def reference(self, record: LabelledText) -> float:
        """The number of the record.

        Raises:
            DataError: no number.
        """
        return _number(record.label, f"record {record.id}")


def _number(label: str | None, where: str) -> float:
    try:
        number = float(label if label is not None else "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(where, "no label" if label is None else f"the label '{label}'", "a finite number")
    return number
