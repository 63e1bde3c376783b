"""A tag for every word of a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from softprompt.data import TaggedWords
from softprompt.errors import DataError, counted
from softprompt.extras import missing
from softprompt.scripts import is_spaced, n_unspaced
from softprompt.tasks.batching import pad
from softprompt.tasks.examples import IGNORED, Outcome, ScoreRow
from softprompt.tasks.headed.reading_task import ReadingExample, ReadingTask
from softprompt.tasks.inputs import RowForm
from softprompt.tasks.labelled import Answer, confusion_files, error_files

_MOSTLY = 0.99
"""The share of single characters among the words of a script without spaces, from which all are such."""

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

    def settle(self, records: Sequence[TaggedWords]) -> None:
        """Take from the training records what the words of scripts without spaces are."""
        sizes = [n for record in records for word in record.words if (n := n_unspaced(word))]
        if self.settings.words == "auto" and sizes:
            single = sum(n == 1 for n in sizes) >= _MOSTLY * len(sizes)
            self._words: str | None = _among_characters(records) if single else "spaces"

    @property
    def resolved(self) -> dict[str, Any]:
        """Values for the settings that the recipe left open."""
        found = getattr(self, "_words", None)
        return {"words": found} if found else {}

    def example(self, record: TaggedWords, form: RowForm, labelled: bool) -> ReadingExample:
        where = f"record {record.id}"
        if not record.words:
            raise DataError(where, "a sentence without words", "at least one word")
        if labelled and len(record.labels) != len(record.words):
            raise DataError(
                where,
                f"{counted(len(record.labels), 'tag')} for {counted(len(record.words), 'word')}",
                "one tag for each word",
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
        weights = self.weights_of_labels(outputs)
        return F.cross_entropy(
            outputs.flatten(0, 1), targets.flatten(), weights, ignore_index=IGNORED, reduction="sum"
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

    def score(
        self, records: Sequence[TaggedWords], outputs: Sequence[Any], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """A row for all sentences, and one for the entities of each type."""
        from softprompt.metrics import by_type

        rows = super().score(records, outputs, metrics)
        for kind, row in by_type(outputs, [record.labels for record in records]).items():
            figures = {f"entity_{name}": row[name] for name in ("f1", "precision", "recall")}
            values = {name: figures[name] for name in metrics if name in figures}
            if values and row["records"]:
                rows.append({"group": f"type {kind}", "values": values, "notes": []})
        return rows

    def artefacts(self, records: Sequence[Any], outputs: Sequence[Any]) -> Mapping[str, str | bytes]:
        """The confusion matrix of the words' types, and the scores of each type of entities."""
        from softprompt.metrics import by_type, confusion

        if missing("metrics", "seqeval", "sklearn"):
            return {}
        types = list(dict.fromkeys(map(_type, self.labels)))
        said, right = ([_type(tag) for row in side for tag in row] for side in (outputs, _tags(records)))
        return confusion_files(types, confusion(said, right, types), by_type(outputs, _tags(records)))

    def files(self, records: Sequence[Any], outcomes: Sequence[Outcome]) -> Mapping[str, str | bytes]:
        """As `artefacts`, with the sentences that hold a wrong tag and the calibration over words."""
        answers, judged = [], []
        for record, outcome in zip(records, outcomes, strict=True):
            said, sure = outcome.output, outcome.probabilities
            answers.append(
                Answer(record.id, record.source, " ".join(said), " ".join(record.labels), outcome.confidence)
            )
            if isinstance(sure, Sequence):
                hits = (tag == gold for tag, gold in zip(said, record.labels, strict=True))
                judged += zip(hits, sure, strict=True)
        return {**super().files(records, outcomes), **error_files(answers, judged)}


def _tags(records: Sequence[TaggedWords]) -> list[list[str]]:
    return [list(record.labels) for record in records]


def _type(tag: str) -> str:
    """The type of the entity that a word belongs to."""
    return tag.partition("-")[2] or tag


def _at_words(values: Tensor, examples: Sequence[ReadingExample]) -> list[list[Any]]:
    """The value at the first token of every word of each example, from `[row, seq]`."""
    rows, first = values.tolist(), 0
    found: list[list[Any]] = []
    for example in examples:
        found.append([rows[first + row][place] for row, place in example.facts])
        first += example.n_rows
    return found


def _among_characters(records: Sequence[TaggedWords]) -> str:
    """What words of other scripts are among single characters, as `TaggingSettings.words` says it."""
    n_whole = n_letters = 0
    for record in records:
        if not any(map(n_unspaced, record.words)):
            continue
        before = ""
        for word in record.words:
            spaced = all(map(is_spaced, word))
            n_whole += spaced and len(word) > 1
            n_letters += spaced and len(word) == 1 and len(before) == 1
            before = word if spaced else ""
    if n_whole + n_letters == 0:
        return "characters"
    share = n_whole / (n_whole + n_letters)
    return "scripts" if share >= _MOSTLY else "letters" if share <= 1 - _MOSTLY else "characters"


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
