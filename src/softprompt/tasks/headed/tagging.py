"""A tag for every word of a sentence."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from softprompt.data import TaggedWords
from softprompt.errors import DataError
from softprompt.tasks.batching import pad
from softprompt.tasks.examples import IGNORED
from softprompt.tasks.headed.reading_task import ReadingExample, ReadingTask
from softprompt.tasks.inputs import RowForm

_OUTSIDE = "O"
"""The tag of words outside every entity."""


class TaggingTask(ReadingTask):
    """Token tagging: the label stands on a word's first token, and every word gets a tag.

    Source: P-Tuning v2 (2110.07602) §4.2, labels on first sub-words. Deviation: the official code cuts
    long sentences without cutting their labels; here a long sentence is read in several windows of whole
    words, side by side.
    """

    @classmethod
    def labels_in(cls, records: Sequence[TaggedWords]) -> tuple[str, ...]:
        """The tags of some sentences in alphabetical order, that of words outside every entity first."""
        tags = {tag for record in records for tag in record.labels}
        return tuple(sorted(tags, key=lambda tag: (tag != _OUTSIDE, tag)))

    def example(self, record: TaggedWords, form: RowForm, labelled: bool) -> ReadingExample:
        where = f"record {record.id}"
        if not record.words:
            raise DataError(where, "a sentence without words", "at least one word")
        if labelled and len(record.labels) != len(record.words):
            raise DataError(
                where, f"{len(record.labels)} tags for {len(record.words)} words", "one tag for each word"
            )
        ids, owners = form.words(record.words, where, self.settings.vanished == "unknown")
        room, n_before = form.room(form.single), len(form.single.before)
        rows, wanted, places = [], [], []
        for start, end in word_windows(owners, room):
            row = form.single.row(ids[start:end])
            labels = [IGNORED] * len(row.ids)
            for i in range(start, end):
                if i == 0 or owners[i] != owners[i - 1]:
                    place = n_before + i - start
                    places.append((len(rows), place))
                    label = (
                        self.index_of(record.labels[owners[i]], f"{where}, word {owners[i] + 1}")
                        if labelled
                        else 0
                    )
                    labels[place] = label
            rows.append(row)
            wanted.append(tuple(labels))
        return ReadingExample(
            record.id, tuple(rows), tuple(wanted) if labelled else (), len(record.words), tuple(places)
        )

    def head_loss(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
        rows = [labels for example in examples for labels in example.labels]
        wanted, _ = pad(rows, IGNORED, "right", outputs.device)
        extra = outputs.shape[1] - wanted.shape[1]
        wanted = F.pad(wanted, (0, extra), value=IGNORED)
        return F.cross_entropy(outputs.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum")

    def answers(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Any]:
        best = outputs.argmax(-1).tolist()
        answers, first = [], 0
        for example in examples:
            answers.append([self.labels[best[first + row][place]] for row, place in example.facts])
            first += example.n_rows
        return answers

    def reference(self, record: TaggedWords) -> Sequence[str]:
        """The tags of the record."""
        return record.labels


def word_windows(owners: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Stretches of at most `room` tokens that begin with a word.

    A word of more tokens than there is room keeps the first of them, and with them its tag.
    """
    starts = [i for i in range(len(owners)) if i == 0 or owners[i] != owners[i - 1]]
    bounds = [*starts[1:], len(owners)]
    windows: list[tuple[int, int]] = []
    for start, end in zip(starts, bounds, strict=True):
        end = min(end, start + room)
        # A window goes on while nothing was dropped before this word and it still fits.
        if windows and windows[-1][1] == start and end - windows[-1][0] <= room:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows
