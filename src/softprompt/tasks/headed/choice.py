"""Multiple choice among several endings (COPA)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from softprompt.data import Choices
from softprompt.errors import DataError
from softprompt.tasks.examples import Outcome, ScoreRow, score_row
from softprompt.tasks.headed.reading_task import ReadingExample, ReadingTask
from softprompt.tasks.inputs import RowForm
from softprompt.tasks.labelled import answers_of, error_files


class ChoiceTask(ReadingTask):
    """A row per choice, one score each, and a softmax over the choices of a record.

    Source: P-Tuning v2 (2110.07602), COPA: a linear layer to one number per choice. Records may have
    different numbers of choices.
    """

    def example(self, record: Choices, form: RowForm, labelled: bool) -> ReadingExample:
        where = f"record {record.id}"
        if len(record.choices) < 2:
            raise DataError(where, f"{len(record.choices)} choices", "at least 2 choices")
        if labelled and (record.label is None or not 0 <= record.label < len(record.choices)):
            got = "no label" if record.label is None else f"the label {record.label}"
            raise DataError(where, got, f"0 to {len(record.choices) - 1}, the index of a choice")
        rows = tuple(form.row(record.text, choice, where) for choice in record.choices)
        return ReadingExample(record.id, rows, (record.label,) if labelled else ())

    def head_loss(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
        scores = _by_example(outputs, examples)
        pairs = zip(scores, examples, strict=True)
        return torch.stack([-row.log_softmax(-1)[example.labels[0]] for row, example in pairs]).sum()

    def answers(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Any]:
        return [int(row.argmax()) for row in _by_example(outputs, examples)]

    def details(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Mapping[str, Any]]:
        return [{"probabilities": row.softmax(-1).tolist()} for row in _by_example(outputs, examples)]

    def score(
        self, records: Sequence[Choices], outputs: Sequence[int], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """One row, `all`: the chosen indices against the records'."""
        from softprompt.metrics import score

        most = max(len(record.choices) for record in records)
        chosen, right = [str(i) for i in outputs], [str(record.label) for record in records]
        result = score(metrics, chosen, right, task=self.settings.name, labels=[str(i) for i in range(most)])
        return [score_row("all", result)]

    def files(self, records: Sequence[Any], outcomes: Sequence[Outcome]) -> Mapping[str, str | bytes]:
        """The wrong answers and the calibration."""
        return {**super().files(records, outcomes), **error_files(answers_of(records, outcomes))}


def _by_example(outputs: Tensor, examples: Sequence[ReadingExample]) -> Sequence[Tensor]:
    """Each example's scores, `[choice]`."""
    return outputs[:, 0].split([example.n_rows for example in examples])
