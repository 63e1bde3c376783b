import json

import pytest

from softprompt.data import Answer, Question, read
from softprompt.errors import DataError

CONTEXT = "Rome is in Italy. Rome is old."


def squad(*questions: object, context: object = CONTEXT) -> str:
    return json.dumps(
        {"version": "x", "data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]}
    )


def ask(**changes: object) -> dict:
    answer = {"text": "Rome", "answer_start": 18}
    return {"id": "q1", "question": "What is old?", "answers": [answer]} | changes


def test_answers_as_they_stand(write):
    italy = {"text": "Italy", "answer_start": 11}
    first = ask(answers=[italy, italy, {"text": "in Italy", "answer_start": 8}])
    second = ask(id="q2", answers=[], is_impossible=True, plausible_answers=[italy])
    one, two = read("squad", write("x.json", squad(first, second)))
    assert one == Question(
        "q1", "What is old?", CONTEXT, (Answer("Italy", 11), Answer("Italy", 11), Answer("in Italy", 8))
    )
    assert two == Question("q2", "What is old?", CONTEXT, (), answered=True)
    assert (one.targets, two.targets) == (("Italy", "Italy", "in Italy"), ("",))


def test_a_file_without_answers_is_unanswered(write):
    (record,) = read("squad", write("x.json", squad({"id": "q", "question": "What?"})))
    assert (record.answered, record.answers, record.targets) == (False, (), ())


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (
            ask(answers=[{"text": "Rome", "answer_start": 17}]),
            "got the answer 'Rome' at 17, where the context has ' Rom', expected the answer's own text "
            "there. Correct answer_start if 18 is meant, where the context has the text",
        ),
        (
            ask(answers=[{"text": " Italy.", "answer_start": 11}]),
            "Take the white space off the text's ends: the context has 'Italy.' there",
        ),
        (
            ask(answers=[{"text": "Milan", "answer_start": 0}]),
            "got the answer 'Milan' at 0, where the context has 'Rome ', expected the answer's own text "
            "there. Correct the text, which is nowhere in the context, or remove the question",
        ),
        (
            ask(answers=[{"text": "Rome", "answer_start": -12}]),
            "got answer_start -12, expected a whole number",
        ),
        (
            ask(answers=[{"text": "Rome", "answer_start": "0"}]),
            "got answer_start '0', expected a whole number",
        ),
        (ask(answers=[{"text": "Rome"}]), "got no field 'answer_start'"),
        (ask(answers=[{"text": "", "answer_start": 0}]), "got an empty 'text'"),
        (ask(answers=["Rome"]), "got the answer 'Rome', expected an object with text and answer_start"),
        (ask(answers={}), "got an object in 'answers', expected a list"),
        (
            ask(answers=[]),
            "got neither answers nor is_impossible, expected at least one answer. Set is_imposs",
        ),
        (ask(is_impossible=True), "got both is_impossible and 1 answer, expected one of the two"),
        (ask(is_impossible="no"), "got 'no' in 'is_impossible', expected true or false"),
        (ask(question=""), "got an empty 'question'"),
        ({"id": "q1", "question": "What?"}, "got no field 'answers'"),
        (ask(id="q0"), "got the same id a second time, expected an id of its own for every question"),
    ],
)
def test_bad_questions_are_named(write, question, message):
    with pytest.raises(DataError) as caught:
        read("squad", write("x.json", squad(ask(id="q0"), question)))
    assert f"x.json, question {question['id']}: got " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "x.json: got a list, expected SQuAD's object with 'data'"),
        ('{"dta": []}', "x.json: got no field 'data', expected a field of that name. Did you mean 'dta'?"),
        ('{"data": {}}', "x.json: got an object in 'data', expected a list"),
        ('{"data": []}', "x.json: got no records, expected SQuAD's JSON"),
        ('{"data": [3]}', "x.json, article 1: got a number, expected an object with 'paragraphs'"),
        (
            '{"data": [{"paragraphs": [{"context": "c"}]}]}',
            "x.json, article 1, paragraph 1: got no field 'qas'",
        ),
        (squad(ask(), context=3), "x.json, article 1, paragraph 1: got a number in 'context'"),
        (
            squad("q"),
            "x.json, article 1, paragraph 1: got a text in 'qas', expected an object for every question",
        ),
        (squad({"question": "q"}), "x.json, article 1, paragraph 1: got no field 'id'"),
        (squad({"id": "q", "question": "Q?", "answer": []}), "question q: got no field 'answers', expected"),
        ('{"data": [\n', "x.json, line 2: got invalid JSON ("),
    ],
)
def test_bad_files(write, text, message):
    with pytest.raises(DataError) as caught:
        read("squad", write("x.json", text))
    assert message in str(caught.value)
