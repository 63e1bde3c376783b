"""One label for a text or a pair of texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from softprompt.data import LabelledText
from softprompt.tasks.examples import Outcome, ScoreRow, score_row
from softprompt.tasks.headed.reading_task import ReadingExample, ReadingTask
from softprompt.tasks.inputs import RowForm, labels_tensor
from softprompt.tasks.labelled import answers_of, class_rows, error_files, label_files


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
        """A row for all records, and one for those of each class."""
        from softprompt.metrics import score

        references = [str(record.label) for record in records]
        # MultiRC's records, answers to one question, have their question as a tag.
        groups = [record.tags["question"] for record in records if "question" in record.tags]
        facts = {"labels": self.labels, "groups": groups or None}
        result = score(metrics, outputs, references, task=self.settings.name, **facts)
        return [score_row("all", result), *class_rows(outputs, references, self.labels, metrics)]

    def artefacts(self, records: Sequence[Any], outputs: Sequence[Any]) -> Mapping[str, str | bytes]:
        """The confusion matrix and the scores of each class; with matplotlib, a picture of the matrix."""
        return label_files(outputs, [str(record.label) for record in records], self.labels)

    def files(self, records: Sequence[Any], outcomes: Sequence[Outcome]) -> Mapping[str, str | bytes]:
        """As `artefacts`, with the wrong answers and the calibration."""
        return {**super().files(records, outcomes), **error_files(answers_of(records, outcomes))}
