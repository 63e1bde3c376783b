"""The answers of prompts: one class for each kind, with the cells that tables of predictions have of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Cells = dict[str, Any]
"""What an answer writes into a row, by column."""


@dataclass(frozen=True)
class Answer:
    """An answer of any kind.

    Args:
        output: as the task gives it, and as `outputs.jsonl` of a run holds it.
        probability: of the answer, among everything that might have been answered; None where a task knows
            none.
    """

    output: Any
    probability: float | None = None

    @property
    def prediction(self) -> Any:
        """The answer itself: a text, a number, or a list."""
        return self.output

    @property
    def line(self) -> str:
        """The answer on one line."""
        return str(self.prediction)

    def cells(self, probabilities: bool = False) -> Cells:
        """The columns that a table of predictions has for this answer.

        Args:
            probabilities: with those of everything that might have been answered.
        """
        return {"prediction": self.prediction}


@dataclass(frozen=True)
class TextAnswer(Answer):
    """A generated text.

    Args:
        cut: whether it reached the limit of decoding before its end.
    """

    cut: bool = False

    @property
    def text(self) -> str:
        """The text, with its line breaks."""
        return self.output

    @property
    def line(self) -> str:
        """The text with single spaces in place of line breaks and other white space."""
        return " ".join(self.output.split())

    def cells(self, probabilities: bool = False) -> Cells:
        """`prediction`, and `cut`."""
        return {"prediction": self.output, "cut": self.cut}


@dataclass(frozen=True)
class NumberAnswer(Answer):
    """The number of a regression."""

    @property
    def number(self) -> float:
        """The number."""
        return self.output


@dataclass(frozen=True)
class LabelAnswer(Answer):
    """One of the task's labels.

    Args:
        label: the likeliest.
        probabilities: of every label, in the order of the task's labels.
    """

    label: str = ""
    probabilities: Mapping[str, float] | None = None

    @property
    def prediction(self) -> str:
        """The label."""
        return self.label

    def cells(self, probabilities: bool = False) -> Cells:
        """`prediction`, `probability`, and `probabilities` by label."""
        more = {"probabilities": self.probabilities} if probabilities else {}
        return {"prediction": self.label, "probability": self.probability, **more}


@dataclass(frozen=True)
class LabelsAnswer(Answer):
    """Any number of the task's labels; `probability` is that of exactly these.

    Args:
        labels: those that pass the threshold, in the order of the task's labels; none may.
        probabilities: of every label, in that order.
        separator: between them in a cell.
    """

    labels: tuple[str, ...] = ()
    probabilities: Mapping[str, float] | None = None
    separator: str = ";"

    @property
    def prediction(self) -> list[str]:
        """The labels."""
        return list(self.labels)

    @property
    def line(self) -> str:
        """The labels, joined; nothing where there is none."""
        return joined(self.labels, self.separator)

    def cells(self, probabilities: bool = False) -> Cells:
        """`prediction` (the labels), `probability` (of exactly these), and `probabilities` by label."""
        return {
            "prediction": self.prediction,
            "probability": self.probability,
            "probabilities": self.probabilities,
        }


def joined(labels: Sequence[str], separator: str) -> str:
    """Labels in one cell; a list of JSON where the separator is part of one of them."""
    if any(separator in label for label in labels):
        return json.dumps(list(labels), ensure_ascii=False)
    return separator.join(labels)


@dataclass(frozen=True)
class ChoiceAnswer(LabelAnswer):
    """One of the choices that came with the text; `label` is its text.

    Args:
        index: its place among the choices, from 0.
    """

    index: int = 0


@dataclass(frozen=True)
class TaggedWord:
    """A word with its tag.

    Args:
        start: the first character of the word in the text.
        end: the character behind its last.
        probability: of the tag.
    """

    word: str
    tag: str
    start: int
    end: int
    probability: float | None = None


@dataclass(frozen=True)
class Entity:
    """Neighbouring words whose tags belong together (`B-PER I-PER`).

    Args:
        kind: the tags' name without `B-` and `I-`.
        text: as it stands in the text.
        start: its first character.
        end: the character behind its last.
    """

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class TagsAnswer(Answer):
    """A tag for every word of a text.

    Args:
        words: in order.
        entities: in order.
    """

    words: tuple[TaggedWord, ...] = ()
    entities: tuple[Entity, ...] = ()

    @property
    def prediction(self) -> list[dict[str, Any]]:
        """The words with their tags and places, as plain values."""
        return [dict(vars(word)) for word in self.words]

    @property
    def line(self) -> str:
        """The tags."""
        return " ".join(word.tag for word in self.words)

    def cells(self, probabilities: bool = False) -> Cells:
        """`prediction` (the words) and `entities`."""
        return {"prediction": self.prediction, "entities": [dict(vars(one)) for one in self.entities]}


@dataclass(frozen=True)
class SpanAnswer(Answer):
    """A stretch of a context that answers a question; an empty text where the context holds no answer.

    Args:
        start: its first character in the context; None where there is no answer.
        end: the character behind its last.
    """

    start: int | None = None
    end: int | None = None

    @property
    def text(self) -> str:
        """The stretch."""
        return self.output

    def cells(self, probabilities: bool = False) -> Cells:
        """`prediction`, `probability`, and the place."""
        place = {"prediction_start": self.start, "prediction_end": self.end}
        return {"prediction": self.output, "probability": self.probability, **place}


@dataclass(frozen=True)
class WordsAnswer(Answer):
    """The likeliest words for a blank, the likeliest first.

    Args:
        words: the words.
        probabilities: of each.
    """

    words: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()

    @property
    def prediction(self) -> str:
        """The likeliest word."""
        return self.words[0]

    def cells(self, probabilities: bool = False) -> Cells:
        """`prediction`, `probability`, and the words, with `probabilities` of each."""
        more = {"probabilities": list(self.probabilities)} if probabilities else {}
        return {
            "prediction": self.prediction, "probability": self.probability, "words": list(self.words), **more,
        }  # fmt: skip


@dataclass(frozen=True)
class OwnAnswer(Answer):
    """An output of a task of another package.

    Args:
        lines: as `softprompt predict` shows it.
    """

    lines: tuple[str, ...] = ()

    @property
    def prediction(self) -> Any:
        """The output where it is plain, else its lines as a text."""
        plain = self.output is None or isinstance(self.output, (str, int, float))
        return self.output if plain else "\n".join(self.lines)
