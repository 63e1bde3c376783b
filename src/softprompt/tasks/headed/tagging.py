"""A tag for every word of a sentence."""

from collections.abc import Mapping, Sequence
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
    """Token tagging: the label is on a word's first token, and every word gets a tag.

    Source: P-Tuning v2 (2110.07602) §4.2, labels on first sub-words. Deviation: the official code cuts
    long sentences without their labels; here the backbone reads a long sentence in several windows of whole
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
        rows, targets, places = [], [], []
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
            targets.append(tuple(labels))
        return ReadingExample(
            record.id, tuple(rows), tuple(targets) if labelled else (), len(record.words), tuple(places)
        )

    def head_loss(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> Tensor:
        rows = [labels for example in examples for labels in example.labels]
        targets, _ = pad(rows, IGNORED, "right", outputs.device)
        extra = outputs.shape[1] - targets.shape[1]
        targets = F.pad(targets, (0, extra), value=IGNORED)
        return F.cross_entropy(
            outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )

    def answers(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Any]:
        best = _at_words(outputs.argmax(-1), examples)
        return [[self.labels[i] for i in of_example] for of_example in best]

    def details(self, outputs: Tensor, examples: Sequence[ReadingExample]) -> list[Mapping[str, Any]]:
        shares = _at_words(outputs.softmax(-1).amax(-1), examples)
        return [{"probabilities": of_example} for of_example in shares]

    def reference(self, record: TaggedWords) -> Sequence[str]:
        """The tags of the record."""
        return record.labels


def _at_words(values: Tensor, examples: Sequence[ReadingExample]) -> list[list[Any]]:
    """The value at the first token of every word of each example, from `[row, seq]`."""
    rows, first = values.tolist(), 0
    found: list[list[Any]] = []
    for example in examples:
        found.append([rows[first + row][place] for row, place in example.facts])
        first += example.n_rows
    return found


def word_windows(owners: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Stretches of at most `room` tokens that begin with a word.

    Of a word with more tokens than `room` the first tokens are kept, and so is its tag.
    """
    starts = [i for i in range(len(owners)) if i == 0 or owners[i] != owners[i - 1]]
    bounds = [*starts[1:], len(owners)]
    windows: list[tuple[int, int]] = []
    for start, end in zip(starts, bounds, strict=True):
        end = min(end, start + room)
        # The word joins the window before it if it fits and no token was dropped between them.
        if windows and windows[-1][1] == start and end - windows[-1][0] <= room:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows
