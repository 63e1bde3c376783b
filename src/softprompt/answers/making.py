"""From an output of a task, with what the task knows about it, to a typed answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.answers.inputs import Asked
from softprompt.answers.kinds import (
    Answer,
    ChoiceAnswer,
    Entity,
    LabelAnswer,
    LabelsAnswer,
    NumberAnswer,
    OwnAnswer,
    SpanAnswer,
    TaggedWord,
    TagsAnswer,
    TextAnswer,
    WordsAnswer,
)
from softprompt.errors import ConfigError, kind_of
from softprompt.tasks import OUTPUT_FORMS, TASKS

_NAMES: Mapping[str | None, tuple[str, ...]] = {
    "text": ("prediction", "cut"),
    "label": ("prediction", "probability"),
    "labels": ("prediction", "probability", "probabilities"),
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
        return TextAnswer(output, cut=bool(facts.get("cut")))
    if name == "number":
        return NumberAnswer(output)
    if name in ("label", "choice", "label_or_choice", "ranked_labels"):
        return _label(name, labels, asked, output, shares)
    if name == "labels":
        by_label = dict(zip(labels, shares, strict=True)) if len(shares) == len(labels) else None
        sure = facts.get("probability")
        of_all = None if sure is None else _short(sure)
        return LabelsAnswer(output, of_all, tuple(output), by_label, facts.get("separator") or ";")
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
    """The entities of words tagged in the BIO scheme; an `I-` behind another kind begins one (seqeval)."""
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
