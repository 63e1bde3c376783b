"""SQuAD v1 and v2: questions about paragraphs, answered by a stretch of them or not at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from softprompt.data.parsing import all_have, each, field, json_file, words
from softprompt.data.records import Answer, Question
from softprompt.errors import DataError, counted, kind_of

_FORM = "SQuAD's object with 'data'"


def read_squad(path: Path) -> list[Question]:
    """One record per question, in file order, with every answer as it stands.

    Source: the JSON of rajpurkar/SQuAD-explorer, v1.1 and v2.0. A question is known to have no answer
    only where `is_impossible` says so; `plausible_answers` are not read. In a file without any
    `answers` (a hidden test set) the questions are unanswered.

    Raises:
        DataError: a missing field; an answer that is not at its `answer_start` in its context; answers
            that contradict `is_impossible`; an id that comes twice. The question's id is named.
    """
    do = "leave data.format out, which reads a row for each question too"
    try:
        whole = json_file(path, _FORM)
    except DataError as error:
        if "Extra data" in str(error.got):
            raise DataError(error.where, error.got, error.expected, do) from None
        raise
    if not isinstance(whole, dict):
        raise DataError(str(path), kind_of(whole), _FORM, do)
    return squad_questions(whole, path)


def squad_questions(whole: dict[str, Any], path: Path) -> list[Question]:
    """The questions of SQuAD's JSON, as `read_squad`."""
    items = list(_questions(whole, path))
    known = all_have([(where, item) for item, _, where in items], "answers")
    ids: set[str] = set()

    def record(place: tuple[dict[str, Any], str, str]) -> Question:
        item, context, where = place
        if item["id"] in ids:
            raise DataError(where, "the same id a second time", "an id of its own for every question")
        ids.add(item["id"])
        return squad_record(item, context, known, where)

    return each(items, record)


def _questions(whole: dict[str, Any], path: Path) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every question with its context and its name in messages."""
    for a, article in enumerate(_list(whole, "data", str(path)), start=1):
        for p, paragraph in enumerate(_list(article, "paragraphs", f"{path}, article {a}"), start=1):
            where = f"{path}, article {a}, paragraph {p}"
            for item in _list(paragraph, "qas", where):
                context = words(field(paragraph, "context", where), "context", where)
                if not isinstance(item, dict):
                    raise DataError(where, f"{kind_of(item)} in 'qas'", "an object for every question")
                name = field(item, "id", where)
                if isinstance(name, int) and not isinstance(name, bool):  # as annotation tools number them
                    name = str(name)
                item = {**item, "id": words(name, "id", where)}
                yield item, context, f"{path}, question {name}"


def squad_record(item: dict[str, Any], context: str, known: bool, where: str) -> Question:
    """The record of one question; `known` says whether the file holds answers at all."""
    question = words(field(item, "question", where), "question", where)
    if not known:
        return Question(item["id"], question, context, answered=False)
    impossible = item.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise DataError(where, f"{impossible!r} in 'is_impossible'", "true or false")
    answers = tuple(_answer(answer, context, where) for answer in _list(_in_rows(item), "answers", where))
    if impossible and answers:
        raise DataError(
            where,
            f"both is_impossible and {counted(len(answers), 'answer')}",
            "one of the two",
            "correct the file",
        )
    if not impossible and not answers:
        do = "set is_impossible to true if the context does not answer it"
        raise DataError(where, "neither answers nor is_impossible", "at least one answer", do)
    return Question(item["id"], question, context, answers)


def _in_rows(item: dict[str, Any]) -> dict[str, Any]:
    """The question with a list of answers, where it has lists of texts and of starts as `datasets` writes."""
    answers = item.get("answers")
    if not isinstance(answers, dict):
        return item
    texts, starts = answers.get("text"), answers.get("answer_start")
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        return item
    both = zip(texts, starts, strict=True)
    return {**item, "answers": [{"text": text, "answer_start": start} for text, start in both]}


def _answer(answer: Any, context: str, where: str) -> Answer:
    if not isinstance(answer, dict):
        raise DataError(where, f"the answer {answer!r}", "an object with text and answer_start")
    text, start = words(field(answer, "text", where), "text", where), field(answer, "answer_start", where)
    if not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise DataError(where, f"answer_start {start!r}", "a whole number, the answer's first character")
    if not context.startswith(text, start):
        got = f"the answer {text!r} at {start}, where the context has {context[start : start + len(text)]!r}"
        raise DataError(where, got, "the answer's own text there", _mend(text, start, context))
    return Answer(text, start)


def _mend(text: str, start: int, context: str) -> str:
    """What to do about an answer that is not where it should be; never done for the user."""
    bare = text.strip()
    places = [place for place in range(len(context)) if context.startswith(bare, place)]
    if not places:
        return "correct the text, which is nowhere in the context, or remove the question"
    place = min(places, key=lambda place: abs(place - start))
    if place == start:
        return f"take the white space off the text's ends: the context has {bare!r} there"
    space = "" if bare == text else ", without the white space around it"
    return f"correct answer_start if {place} is meant, where the context has the text{space}"


def _list(item: Any, name: str, where: str) -> list[Any]:
    if not isinstance(item, dict):
        raise DataError(where, kind_of(item), f"an object with '{name}'")
    value = field(item, name, where)
    if not isinstance(value, list):
        raise DataError(where, f"{kind_of(value)} in '{name}'", "a list")
    return value
