"""The answers of prompts: one class for each kind, with the cells that tables of predictions have of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.answers.inputs import Asked
from softprompt.errors import ConfigError, kind_of
from softprompt.tasks import OUTPUT_FORMS, TASKS

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
    """A generated text."""

    @property
    def text(self) -> str:
        """The text, with its line breaks."""
        return self.output

    @property
    def line(self) -> str:
        """The text with single spaces in place of line breaks and other white space."""
        return " ".join(self.output.split())


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


_NAMES: Mapping[str | None, tuple[str, ...]] = {
    "label": ("prediction", "probability"),
    "choice": ("prediction", "probability"),
    "label_or_choice": ("prediction", "probability"),
    "ranked_labels": ("prediction", "probability"),
    "tags": ("prediction", "entities"),
    "answer": ("prediction", "probability", "prediction_start", "prediction_end"),
    "ranked_words": ("prediction", "probability", "words"),
}
"""The columns of answers by the form of a task's outputs, without those of all probabilities."""

_SEVERAL = ("label", "choice", "label_or_choice", "ranked_labels", "ranked_words")
"""The forms with a probability for each of several answers."""


def cell_names(task: str, probabilities: bool = False) -> tuple[str, ...]:
    """The columns that the answers of a task have in tables, in order.

    Args:
        task: its name.
        probabilities: with those of everything that might have been answered.
    """
    form = _form_of(task)
    return _NAMES.get(form, ("prediction",)) + ("probabilities",) * (probabilities and form in _SEVERAL)


def _form_of(task: str) -> str | None:
    """The name of the form of a task's outputs; None for a form of another package."""
    form = TASKS[task].outputs
    return next((name for name, one in OUTPUT_FORMS.items() if one is form), None)


def answer_from(
    task: str, labels: Sequence[str], asked: Asked, output: Any, facts: Mapping[str, Any]
) -> Answer:
    """The answer that an output of a task is.

    Args:
        task: its name.
        labels: every label of the task, in order.
        asked: what was asked.
        output: of the task.
        facts: about the output, see `Task.explained`.
    """
    name = _form_of(task)
    shares = [_short(share) for share in facts.get("probabilities") or ()]
    if name == "text":
        return TextAnswer(output)
    if name == "number":
        return NumberAnswer(output)
    if name in ("label", "choice", "label_or_choice", "ranked_labels"):
        return _label(name, labels, asked, output, shares)
    if name == "tags":
        return _tags(asked, output, shares)
    if name == "answer":
        share = facts.get("probability")
        probability = None if share is None else _short(share)
        return SpanAnswer(output, probability, facts.get("start"), facts.get("end"))
    if name == "ranked_words":
        return WordsAnswer(output, shares[0] if shares else None, tuple(output["words"]), tuple(shares))
    return OwnAnswer(output, lines=tuple(lines_of(task, asked.record, output)))


def lines_of(task: str, record: Any, output: Any) -> list[str]:
    """An output as `softprompt predict` shows it, on one line or several.

    Raises:
        ConfigError: the form of a task of another package gives something else.
    """
    with TASKS.naming(task):
        lines = TASKS[task].outputs.lines(record, output)
    if not isinstance(lines, list):
        where = f"task '{task}': lines of its OutputForm"
        raise ConfigError(where, kind_of(lines), "a list of texts, one for each line")
    return lines


def _short(number: float) -> float:
    """The shortest number that is the same in float32, in which it was computed."""
    return float(f"{number:.8g}")


def _label(
    form: str, labels: Sequence[str], asked: Asked, output: Any, shares: list[float]
) -> LabelAnswer | ChoiceAnswer:
    if form == "ranked_labels":
        label = output["labels"][0]
    else:
        label = asked.record.choices[output] if isinstance(output, int) else str(output)
    names = asked.record.choices if isinstance(output, int) else labels
    place = output if isinstance(output, int) else (list(names).index(label) if label in names else None)
    known = len(shares) == len(names) and place is not None
    # Two choices may have one text, of which the answer's own probability is told.
    by_name = dict(zip(names, shares, strict=True)) if known else None
    probability = shares[place] if known and place is not None else None
    if isinstance(output, int):
        return ChoiceAnswer(output, probability, label, by_name, output)
    return LabelAnswer(output, probability, label, by_name)


def _tags(asked: Asked, tags: Sequence[str], shares: Sequence[float]) -> TagsAnswer:
    likely = shares or [None] * len(tags)
    rows = zip(asked.record.words, tags, asked.offsets, likely, strict=True)
    words = tuple(TaggedWord(word, tag, start, end, share) for word, tag, (start, end), share in rows)
    return TagsAnswer(list(tags), None, words, entities_of(words, asked.text))


def entities_of(words: Sequence[TaggedWord], text: str) -> tuple[Entity, ...]:
    """The entities of words tagged in the BIO scheme; an `I-` behind another kind begins one, as in seqeval."""
    found: list[Entity] = []
    inside = ""
    for word in words:
        place, dash, kind = word.tag.partition("-")
        if not dash or place not in ("B", "I"):
            inside = ""
            continue
        if place == "I" and inside == kind:
            last = found.pop()
            found.append(Entity(kind, text[last.start : word.end], last.start, word.end))
        else:
            found.append(Entity(kind, text[word.start : word.end], word.start, word.end))
        inside = kind
    return tuple(found)
