"""Any number of labels for a text or a pair of texts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from softprompt.data import MultiLabelledText, check_spellings, in_order
from softprompt.errors import DataError
from softprompt.extras import missing
from softprompt.files import json_text
from softprompt.tasks.examples import Outcome, ScoreRow
from softprompt.tasks.headed.reading_task import ReadingExample, ReadingTask
from softprompt.tasks.inputs import RowForm
from softprompt.tasks.labelled import Answer, error_files

NOTHING = "(no label)"
"""What a person reads where a text has no label."""


class MultiLabelTask(ReadingTask):
    """Classification with several labels at once: a sigmoid and binary cross-entropy for each.

    The loss of a text is the mean over the labels, as `torch.nn.BCEWithLogitsLoss` and transformers'
    `problem_type="multi_label_classification"` have it; class weights are its `pos_weight`.
    """

    @classmethod
    def labels_in(cls, records: Sequence[Any]) -> tuple[str, ...]:
        found = {label for record in records for label in record.labels or ()}
        check_spellings(found)
        return tuple(in_order(found))

    def example(self, record: MultiLabelledText, form: RowForm, labelled: bool) -> ReadingExample:
        where = f"record {record.id}"
        row = form.row(record.text, record.second, where)
        if not labelled:
            return ReadingExample(record.id, (row,))
        if record.labels is None:
            raise DataError(where, "no labels", f"any of {list(self.labels)}, or an empty list of them")
        held = {self.index_of(label, where) for label in record.labels}
        return ReadingExample(record.id, (row,), tuple(float(i in held) for i in range(len(self.labels))))

    def head_loss(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
        targets = outputs.new_tensor([example.labels for example in examples])
        weights = self.weights_of_labels(outputs)
        losses = F.binary_cross_entropy_with_logits(outputs, targets, pos_weight=weights, reduction="none")
        return losses.mean(-1).sum()

    def answers(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Any]:
        return [[self.labels[i] for i in _places(row)] for row in self._said(outputs).tolist()]

    def details(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Mapping[str, Any]]:
        said, shares = self._said(outputs), outputs.sigmoid()
        # The labels are independent of each other, so that of an answer is the product over all of them.
        whole = torch.where(said, shares, (-outputs).sigmoid()).prod(-1)
        separator = self.settings.label_separator
        return [
            {"probabilities": row, "probability": sure, "separator": separator}
            for row, sure in zip(shares.tolist(), whole.tolist(), strict=True)
        ]

    def _said(self, outputs: Tensor) -> Tensor:
        """Which labels pass the threshold, `[row, label]`."""
        return outputs.sigmoid() >= self.settings.threshold

    def outcomes(
        self, records: Sequence[Any], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[Outcome]:
        """As `predict`, with the probability of every label and that of the whole answer."""
        found = []
        for output, facts in self.explained(records, progress, seed):
            shares: Sequence[float] = facts.get("probabilities") or ()
            order = sorted(range(len(shares)), key=lambda i: -shares[i])
            by_label = {self.labels[i]: shares[i] for i in order} or None
            found.append(Outcome(output, by_label, facts.get("probability")))
        return found

    def reference(self, record: MultiLabelledText) -> Sequence[str]:
        """The labels of the record.

        Raises:
            DataError: they are unknown.
        """
        if record.labels is None:
            raise DataError(f"record {record.id}", "no labels", "a record whose labels are known")
        return record.labels

    def score(
        self, records: Sequence[MultiLabelledText], outputs: Sequence[Any], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """A row for all records, and one for each label."""
        from softprompt.metrics import by_label

        rows = super().score(records, outputs, metrics)
        if missing("metrics", "sklearn"):
            return rows
        asked = [name for name in metrics if name in ("micro_f1", "macro_f1")]
        for label, row in by_label(outputs, [self.reference(one) for one in records], self.labels).items():
            if row["records"] and asked:
                values = dict.fromkeys(asked, row["f1"])
                rows.append({"group": f"class {label}", "values": values, "notes": []})
        return rows

    def artefacts(self, records: Sequence[Any], outputs: Sequence[Any]) -> Mapping[str, str | bytes]:
        """Precision, recall, F1 and the number of records of each label."""
        from softprompt.metrics import by_label

        if missing("metrics", "sklearn"):
            return {}
        classes = by_label(outputs, [self.reference(record) for record in records], self.labels)
        return {"classes.json": json_text({"labels": list(self.labels), "classes": classes})}

    def files(self, records: Sequence[Any], outcomes: Sequence[Outcome]) -> Mapping[str, str | bytes]:
        """As `artefacts`, with the wrong answers and the calibration over all labels of all records."""
        answers, judged = [], []
        for record, outcome in zip(records, outcomes, strict=True):
            right, said = set(self.reference(record)), set(outcome.output)
            answers.append(
                Answer(
                    record.id, record.source, self._in_words(said), self._in_words(right), outcome.confidence
                )
            )
            if isinstance(outcome.probabilities, Mapping):
                for label, share in outcome.probabilities.items():
                    judged.append(
                        ((label in said) == (label in right), share if label in said else 1 - share)
                    )
        return {**super().files(records, outcomes), **error_files(answers, judged)}

    def _in_words(self, labels: set[str]) -> str:
        return ", ".join(label for label in self.labels if label in labels) or NOTHING


def _places(row: Sequence[bool]) -> list[int]:
    return [i for i, said in enumerate(row) if said]
