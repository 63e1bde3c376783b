"""SuperGLUE's tasks, and FewGLUE's, which have its form: JSON lines with a label.

Every reader gives unlabelled records for a file without any `label` (the published test sets), and
refuses one where only some lines have it. Texts are taken as they stand.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from softprompt.data.parsing import all_have, each, field, json_objects, words
from softprompt.data.records import Choices, LabelledText
from softprompt.errors import DataError, kind_of

TRUTH = ("false", "true")
CB_LABELS = ("entailment", "contradiction", "neutral")
RTE_LABELS = ("not_entailment", "entailment")

_QUESTIONS = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}

Item = dict[str, Any]
_Place = tuple[int, str, Item]
"""An object with its line and its place in messages."""


def read_boolq(path: Path) -> list[LabelledText]:
    """The question, and the passage as second text; `true` is a yes.

    Source: SuperGLUE (1905.00537); P-Tuning v2's code gives the same pair.
    """
    return _pairs(path, lambda item, where: _two(item, "question", "passage", where), _truth)


def read_cb(path: Path) -> list[LabelledText]:
    """The premise, and the hypothesis as second text."""
    return _pairs(path, lambda item, where: _two(item, "premise", "hypothesis", where), _one_of(CB_LABELS))


def read_rte(path: Path) -> list[LabelledText]:
    """The premise, and the hypothesis as second text."""
    return _pairs(path, lambda item, where: _two(item, "premise", "hypothesis", where), _one_of(RTE_LABELS))


def read_wic(path: Path) -> list[LabelledText]:
    """Both sentences, each with the word in front: `feel: You make me feel naked.`; `true` is one sense.

    Source: the pair of P-Tuning v2's code (its template 1, used for BERT); its other template, one text
    that ends in a question, is not offered.
    """

    def texts(item: Item, where: str) -> tuple[str, str]:
        word = _text(item, "word", where)
        first, second = _two(item, "sentence1", "sentence2", where)
        return f"{word}: {first}", f"{word}: {second}"

    return _pairs(path, texts, _truth)


def read_wsc(path: Path) -> list[LabelledText]:
    """The text with the pronoun between stars, `*his*`, and the noun phrase as second text.

    Source: the stars are those of P-Tuning v2's code (its template 1). The pronoun is the word number
    `span2_index`, counted at white space. Where another word stands there (one published record,
    line 43 of val.jsonl), the pronoun is marked where it stands, if it does so once.

    Raises:
        DataError: also where the pronoun is neither at its index nor alone in the text.
    """

    def texts(item: Item, where: str) -> tuple[str, str]:
        target = _object(item, "target", where)
        pronoun, phrase = _text(target, "span2_text", where), _text(target, "span1_text", where)
        index = field(target, "span2_index", where)
        return _mark(_text(item, "text", where), pronoun, index, where), phrase

    return _pairs(path, texts, _truth)


def read_multirc(path: Path) -> list[LabelledText]:
    """One record per answer: the passage, and the question with the answer behind it as second text.

    Source: SuperGLUE; P-Tuning v2's code gives the same pair. The tag `question` is the same for all
    answers of a question and no other's in the file, `<passage>/<question>` counted from 1, so that
    questions whose answers are all right can be counted.
    """

    def answers_of(numbered: tuple[int, _Place]) -> list[tuple[LabelledText, str, Item]]:
        passage, (line, where, item) = numbered
        inside = _object(item, "passage", where)
        text = _text(inside, "text", where)
        return [
            (LabelledText(f"{path.name}:{line}/{q}/{a}", text, None,
                          f"{_text(question, 'question', at)} {_text(answer, 'text', place)}",
                          {"question": f"{passage}/{q}"}), place, answer)
            for q, (at, question) in enumerate(_objects(inside, "questions", where), start=1)
            for a, (place, answer) in enumerate(_objects(question, "answers", at), start=1)
        ]  # fmt: skip

    answers = [one for several in each(enumerate(_items(path), start=1), answers_of) for one in several]
    if not all_have([(place, answer) for _, place, answer in answers], "label"):
        return [record for record, _, _ in answers]
    return each(answers, lambda one: replace(one[0], label=TRUTH[_choice(one[2]["label"], one[1])]))


def read_copa(path: Path) -> list[Choices]:
    """The premise with its question in words, and the two choices.

    Source: SuperGLUE; the wordings are those of its instructions. Deviation: P-Tuning v2's code joins
    premise and choice by `because` and `so`.
    """
    items = _items(path)
    labelled = all_have([(where, item) for _, where, item in items], "label")

    def record(place: _Place) -> Choices:
        line, where, item = place
        asked = _text(item, "question", where)
        if asked not in _QUESTIONS:
            raise DataError(where, f"{asked!r} in 'question'", "'cause' or 'effect'")
        text = f"{_text(item, 'premise', where)} {_QUESTIONS[asked]}"
        label = _choice(item["label"], where) if labelled else None
        return Choices(f"{path.name}:{line}", text, _two(item, "choice1", "choice2", where), label)

    return each(items, record)


def _pairs(
    path: Path, texts: Callable[[Item, str], tuple[str, str]], label: Callable[[object, str], str]
) -> list[LabelledText]:
    items = _items(path)
    labelled = all_have([(where, item) for _, where, item in items], "label")

    def record(place: _Place) -> LabelledText:
        line, where, item = place
        first, second = texts(item, where)
        value = label(item["label"], where) if labelled else None
        return LabelledText(f"{path.name}:{line}", first, value, second)

    return each(items, record)


def _items(path: Path) -> list[_Place]:
    return json_objects(path, lambda line, where, item: (line, where, item))


def _text(item: Item, name: str, where: str) -> str:
    return words(field(item, name, where), name, where)


def _two(item: Item, first: str, second: str, where: str) -> tuple[str, str]:
    return _text(item, first, where), _text(item, second, where)


def _object(item: Item, name: str, where: str) -> Item:
    value = field(item, name, where)
    if not isinstance(value, dict):
        raise DataError(where, f"{kind_of(value)} in '{name}'", "an object")
    return value


def _objects(item: Item, name: str, where: str) -> list[tuple[str, Item]]:
    """The objects of a list, each with its place; `questions` are named `question 1` and so on."""
    value = field(item, name, where)
    if not isinstance(value, list) or not value:
        got = f"an empty '{name}'" if value == [] else f"{kind_of(value)} in '{name}'"
        raise DataError(where, got, "a list of at least one object")
    objects = []
    for n, inner in enumerate(value, start=1):
        place = f"{where}, {name[:-1]} {n}"
        if not isinstance(inner, dict):
            raise DataError(place, kind_of(inner), "an object")
        objects.append((place, inner))
    return objects


def _truth(value: object, where: str) -> str:
    if not isinstance(value, bool):
        raise DataError(where, f"the label {value!r}", "true or false, without quotes")
    return TRUTH[value]


def _one_of(labels: tuple[str, ...]) -> Callable[[object, str], str]:
    def check(value: object, where: str) -> str:
        if not isinstance(value, str) or value not in labels:
            raise DataError(where, f"the label {value!r}", f"one of {', '.join(labels)}")
        return value

    return check


def _choice(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in (0, 1):
        raise DataError(where, f"the label {value!r}", "0 or 1")
    return value


def _mark(text: str, pronoun: str, index: object, where: str) -> str:
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise DataError(
            where, f"span2_index {index!r}", "a whole number, the pronoun's place among the words"
        )
    alone = re.compile(rf"(?<!\w){re.escape(pronoun)}(?!\w)")
    ends = [match.span() for match in re.finditer(r"\S+", text)]
    low, high = ends[index] if index < len(ends) else (0, 0)
    spans = [match.span() for match in alone.finditer(text)]
    at_index = [span for span in spans if low <= span[0] < high]
    if not at_index and len(spans) != 1:
        got = f"the pronoun {pronoun!r}, which is not word {index} and stands {len(spans)} times in the text"
        raise DataError(where, got, "the pronoun at its span2_index", "correct span2_index")
    start, end = (at_index or spans)[0]
    return f"{text[:start]}*{text[start:end]}*{text[end:]}"
