"""A number for a text or a pair of texts."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from softprompt.data import LabelledText
from softprompt.errors import DataError
from softprompt.tasks.headed.reading_task import ReadingExample, ReadingTask
from softprompt.tasks.inputs import RowForm

_LARGEST = 1e100
"""Magnitude of numbers whose squares and sums are numbers too."""

_LARGEST_TARGET = torch.finfo(torch.float32).max


class RegressionTask(ReadingTask):
    """A number for a text or a pair: squared error on the head's one output.

    A head begins near 0 and is trained at a rate that fits numbers of about 1, so that prices and years would
    take it very long to learn: it learns labels less their mean, by their standard deviation, and `answers`
    are turned back. Labels that are all equal are only centred. Until `settle` has seen training records, or
    `task.scale` gives the two numbers, labels are taken as they are.
    """

    def _set_up(self) -> None:
        super()._set_up()
        scale = self.settings.scale
        self._scale: tuple[float, float] | None = None if isinstance(scale, str) else scale
        self._equal = False

    def settle(self, records: Sequence[LabelledText]) -> None:
        """Take the mean and the standard deviation of the training records' numbers."""
        if self.settings.scale != "standard" or not records:
            return
        numbers = [self.reference(record) for record in records]
        mean = math.fsum(numbers) / len(numbers)
        # Equal numbers have a mean that rounding may move, and a deviation of nothing else.
        self._equal = len(set(numbers)) == 1
        if self._equal:
            self._scale = numbers[0], 1.0
            return
        self._scale = mean, math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))

    @property
    def resolved(self) -> dict[str, Any]:
        """The mean and the deviation, where they were found."""
        return {"scale": self._scale} if self.settings.scale == "standard" and self._scale else {}

    @property
    def form_note(self) -> str:
        """By what labels are standardised."""
        if self.settings.scale != "standard" or self._scale is None:
            return ""
        mean, deviation = self._scale
        if self._equal:
            return f"every training label is {mean:g}, so that there is nothing to learn but this number"
        by = f"mean {mean:g} and standard deviation {deviation:g}"
        return f"labels are standardised by their {by} (task.scale)"

    def example(self, record: LabelledText, form: RowForm, labelled: bool) -> ReadingExample:
        where = f"record {record.id}"
        row = form.row(record.text, record.second, where)
        if not labelled:
            return ReadingExample(record.id, (row,))
        return ReadingExample(record.id, (row,), (self._target(_number(record.label, where), where),))

    def _target(self, number: float, where: str) -> float:
        """What the head should say for a number."""
        if self._scale is not None:
            mean, deviation = self._scale
            number = (number - mean) / deviation
        elif self.settings.scale == "standard":
            return number  # records are checked before the scale is known
        if abs(number) > _LARGEST_TARGET:
            got = f"a number that is {number:g} for the head"
            do = "correct the label, or give numbers of another unit"
            if self.settings.scale is None:
                do = "leave task.scale out, which standardises labels"
            raise DataError(where, got, f"one within {_LARGEST_TARGET:.2g}, the largest of float32", do)
        return number

    def head_loss(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
        targets = torch.tensor(
            [example.labels[0] for example in examples], dtype=torch.float32, device=outputs.device
        )
        return F.mse_loss(outputs[:, 0], targets, reduction="sum")

    def answers(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Any]:
        mean, deviation = self._scale or (0.0, 1.0)
        return [mean + deviation * output for output in outputs[:, 0].tolist()]

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
        got = "no label" if label is None else f"the label '{label}'"
        do = (
            "write it with a point and without units or spaces"
            if label and any(map(str.isdigit, label))
            else ""
        )
        raise DataError(where, got, "a finite number", do)
    if abs(number) > _LARGEST:
        raise DataError(where, f"the label '{label}'", f"a number within {_LARGEST:g}")
    return number
