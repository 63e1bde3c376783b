"""Answers in a context: windows, positions, and the choice of a stretch."""

from dataclasses import replace

import pytest
import torch

import softprompt
from softprompt.data.records import Answer, Question
from softprompt.errors import BackboneError, ConfigError, DataError
from softprompt.tasks.headed.reading_task import ReadingExample
from softprompt.tasks.headed.spans import Window
from softprompt.tasks.inputs import Row, RowForm
from support.prompts import close
from support.reading import BACKBONES, bert, gpt2, head_of, prompt_of, task_of

CONTEXT = (
    "The Café ☕ serves naïve food for 5€ by the riverside. It is a Chinese restaurant, and it is cheap 🙂."
)


def asking(*answers, question="where is it", context=CONTEXT, name="q"):
    return Question(name, question, context, tuple(Answer(text, context.index(text)) for text in answers))


def context_of(example):
    return example.facts[0]


@pytest.mark.parametrize("family", list(BACKBONES))
@pytest.mark.parametrize(("longest", "stride"), [(40, 5), (64, 16), (128, 64)])
def test_windows_cover_the_context_and_share_the_stride(family, longest, stride):
    backbone = BACKBONES[family]()
    task = task_of(backbone, "spans", max_tokens=longest, stride=stride)
    record = asking("riverside")
    example = task.encode(record)
    form = RowForm(backbone, longest)
    ids, offsets = form.characters(CONTEXT)
    question = backbone.token_ids(record.question)
    read = []
    for row, window in zip(example.rows, context_of(example), strict=True):
        n = len(window.offsets)
        assert len(row.ids) <= longest
        inside = row.ids[window.first : window.first + n]
        place = next(
            i
            for i in range(len(ids))
            if tuple(offsets[i : i + n]) == window.offsets and tuple(ids[i : i + n]) == inside
        )
        read.append(range(place, place + n))
        # Special tokens, question, special tokens, context, special tokens.
        assert (
            list(row.ids[window.first - len(form.pair.between) - len(question) :][: len(question)])
            == question
        )
    assert sorted({i for part in read for i in part}) == list(range(len(ids)))
    shared = [len(set(a) & set(b)) for a, b in zip(read, read[1:], strict=False)]
    assert all(n == stride for n in shared)
    assert len(read) == example.n_targets == example.n_rows
    assert (len(read) > 1) == (
        len(ids) > longest - len(example.rows[0].ids) + len(context_of(example)[0].offsets)
    )


@pytest.mark.parametrize("family", list(BACKBONES))
def test_labels_stand_at_the_answers_own_tokens(family):
    backbone = BACKBONES[family]()
    for text in ("riverside", "Café", "☕", "naïve food", "5€", "The", "cheap 🙂", "restaurant, and it"):
        task = task_of(backbone, "spans", max_tokens=70, stride=40)
        example = task.encode(asking(text))
        held = 0
        for (start, end), window in zip(example.labels, context_of(example), strict=True):
            if start == window.nothing:
                assert end == window.nothing
                continue
            a = window.offsets[start - window.first][0]
            b = window.offsets[end - window.first][1]
            assert CONTEXT[a:b].strip() == text
            held += 1
        assert held >= 1


@pytest.mark.parametrize("family", list(BACKBONES))
def test_the_place_of_no_answer_belongs_to_no_text(family):
    backbone = BACKBONES[family]()
    task = task_of(backbone, "spans", max_tokens=60, stride=20)
    for example in (task.encode(asking("cheap")), task.encode(asking("🙂.")), task.encode(asking())):
        for row, window in zip(example.rows, context_of(example), strict=True):
            after = window.first + len(window.offsets)
            assert window.nothing == (0 if family == "bert" else len(row.ids) - 1)
            assert not window.first <= window.nothing < after
            special = backbone.tokenizer.cls_token_id if family == "bert" else backbone.tokenizer.eos_token_id
            assert row.ids[window.nothing] == special
    nothing = task.encode(asking())
    assert nothing.labels == tuple((window.nothing,) * 2 for window in context_of(nothing))


def test_on_decoders_no_answer_needs_an_end_token(monkeypatch):
    task = task_of(gpt2(), "spans")
    monkeypatch.setattr(gpt2().tokenizer, "_special_tokens_map", {"pad_token": "<pad>"})
    with pytest.raises(BackboneError, match="got a tokenizer without an end-of-sequence token"):
        task.encode(asking("food"))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_loss_is_two_softmaxes_over_the_allowed_places(family):
    backbone = BACKBONES[family]()
    task = task_of(backbone, "spans", max_tokens=60, stride=20)
    prompt = prompt_of(backbone, task)
    examples = [
        task.encode(asking("cheap")),
        task.encode(asking()),
        task.encode(asking("food", context="food")),
    ]
    expected = torch.zeros(())
    with torch.no_grad(), backbone.prompted(prompt):
        loss = task.loss(examples)
        for example in examples:
            for row, window, wanted in zip(example.rows, context_of(example), example.labels, strict=True):
                inputs = {"input_ids": torch.tensor([row.ids])}
                if row.segments:
                    inputs["token_type_ids"] = torch.tensor([row.segments])
                scores = head_of(prompt)(backbone.read(inputs), torch.ones(1, len(row.ids)))[0]
                n = len(window.offsets)
                allowed = sorted({window.nothing, *range(window.first, window.first + n)})
                for side in (0, 1):
                    among = scores[allowed, side].log_softmax(-1)
                    expected = expected - among[allowed.index(wanted[side])] / 2
    close(loss, expected)


class FakeHead(torch.nn.Module):
    """Loves one token of the text."""

    def __init__(self, prompt, table, token):
        super().__init__()
        self.card, self.table, self.token = prompt.head.card, table, token

    def forward(self, states, mask):
        return (states[..., :1] == self.table[self.token][0]).float().expand(*states.shape[:2], 2)


@pytest.mark.parametrize("method", ["p_tuning_v2", "prompt_tuning"])
@pytest.mark.parametrize("family", list(BACKBONES))
def test_a_prompt_shifts_no_position(family, method, monkeypatch):
    backbone = BACKBONES[family]()
    task = task_of(backbone, "spans", max_tokens=60, stride=20, unanswerable=False)
    prompt = getattr(softprompt, method)(backbone, 7, initialization="vocabulary", head=task.head).eval()
    # States that are the input's own tokens: what is read where is then plain to see.
    table = torch.arange(1000.0)[:, None].expand(-1, backbone.state_size)
    read = type(backbone).read

    def spelled(self, inputs):
        states = read(self, inputs)
        assert states.shape[:2] == inputs["input_ids"].shape
        return table[inputs["input_ids"]]

    monkeypatch.setattr(type(backbone), "read", spelled)
    record = asking()
    ids, offsets = RowForm(backbone, 512).characters(CONTEXT)
    place = next(i for i, token in enumerate(ids) if i > 20 and ids.count(token) == 1)
    prompt.head = FakeHead(prompt, table, ids[place])
    with torch.no_grad(), backbone.prompted(prompt):
        (answer,) = task.predict([record])
    assert answer == CONTEXT[slice(*offsets[place])].strip() != ""


def best(scores, offsets=None, context="a b c d e f", **settings):
    """The answer for hand-made scores of [CLS], a question token and six context tokens, in one window."""
    task = task_of(bert(), "spans", **settings)
    window = Window(2, offsets or tuple((2 * i, 2 * i + 1) for i in range(6)), 0)
    example = ReadingExample("1", (Row(()),), facts=((window,), context))
    (answer,) = task.answers(torch.tensor(scores, dtype=torch.float32).T[None], [example])
    return answer


def logits(start, end, cls=(0, 0), question=(0, 0)):
    return [[cls[0], question[0], *start], [cls[1], question[1], *end]]


def test_the_answer_is_the_best_pair_in_order():
    assert best(logits([0, 5, 0, 0, 0, 0], [0, 0, 0, 4, 0, 0])) == "b c d"
    # The best end stands before the best start: start c (4) to c (1) is 5, a to a 4, c to f 4.
    assert best(logits([0, 0, 4, 0, 0, 0], [4, 0, 1, 0, 0, 0])) == "c"
    # The question's own tokens are never an answer.
    assert best(logits([1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], question=(50, 50))) == "a b"


def test_answers_longer_than_allowed_are_not_considered():
    scores = logits([5, 0, 0, 0, 0, 1], [0, 0.5, 0, 0, 0, 5])
    assert best(scores) == "a b c d e f"
    assert best(scores, max_answer_tokens=5) == "f"
    assert best(scores, max_answer_tokens=2) == "f"


def test_only_the_n_best_starts_and_ends_are_paired_unless_none_of_them_can_be():
    scores = logits([0, 0, 0, 3, 2, 0], [9, 8, 0, 1, 2, 0])
    assert best(scores) == "a"
    assert best(scores, n_best=3) == "d e"
    # Starts d, e and ends a, b: in no order an answer, and v1 always has one.
    assert best(scores, n_best=2, unanswerable=False) == "a"


def test_no_answer_when_its_score_passes_the_best_by_more_than_the_threshold():
    scores = logits([0, 2, 0, 0, 0, 0], [0, 0, 2, 0, 0, 0], cls=(3, 2))
    assert best(scores) == ""
    assert best(scores, null_threshold=1.0) == "b c"
    assert best(scores, null_threshold=0.99) == ""
    assert best(scores, unanswerable=False) == "b c"
    assert best(logits([0, 2, 0, 0, 0, 0], [0, 0, 2, 0, 0, 0], cls=(2, 2))) == "b c"


def test_of_several_windows_the_best_stretch_and_the_least_no_answer_count():
    task = task_of(bert(), "spans")
    offsets = tuple((2 * i, 2 * i + 1) for i in range(4))
    windows = [Window(1, offsets[:2], 0), Window(1, offsets[2:], 0)]
    one = torch.tensor([[9.0, 1, 0], [9, 0, 1]]).T
    two = torch.tensor([[1.0, 2, 0], [1, 0, 2]]).T
    example = ReadingExample("1", (Row(()), Row(())), facts=(windows, "a b c d"))
    assert task.answers(torch.stack([one, two]), [example]) == ["c d"]
    assert task.answers(torch.stack([one, one + 0]), [example]) == [""]


def test_spaces_that_tokens_hold_are_no_part_of_an_answer():
    offsets = tuple((max(0, 2 * i - 1), 2 * i + 1) for i in range(6))
    assert best(logits([0, 5, 0, 0, 0, 0], [0, 0, 5, 0, 0, 0]), offsets) == "b c"


def test_questions_are_cut_and_counted():
    task = task_of(bert(), "spans", max_question_tokens=3)
    example = task.encode(asking("food", question="the mill is cheap"))
    assert context_of(example)[0].first == 1 + 3 + 1
    assert task.n_cut == 1


def test_the_answer_is_the_first_reference():
    task = task_of(bert(), "spans")
    assert task.encode(asking("food", "riverside")).labels == task.encode(asking("food")).labels


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        (
            replace(asking("food"), answers=(Answer("food", 3),)),
            DataError,
            r"record q: got the answer 'food' at .* 3",
        ),
        (replace(asking("food"), answers=(Answer("", 3),)), DataError, r"record q: got the answer ''"),
        (replace(asking(), answered=False), DataError, r"record q: got no answers, expected answers, or"),
        (asking("food", context=" \u200b food"), None, ""),
        (replace(asking(), context="\u200b"), DataError, r"record q: got a context without tokens"),
        (asking("\u200b", context="a\u200bb"), DataError, r"record q: got the answer .*leaves no token"),
    ],
)
def test_answers_that_are_not_there_are_refused(record, error, message):
    task = task_of(bert(), "spans")
    if error is None:
        task.check([record])
        return
    with pytest.raises(error, match=message):
        task.check([record])


def test_without_unanswerable_every_question_needs_an_answer():
    task_of(bert(), "spans").check([asking()])
    with pytest.raises(
        DataError, match=r"got a question without an answer, expected .* Set task\.unanswerable=true\."
    ):
        task_of(bert(), "spans", unanswerable=False).check([asking()])


def test_windows_without_progress_are_refused():
    with pytest.raises(ConfigError, match=r"task\.stride: got 64, expected less than max_tokens \(64\)"):
        task_of(bert(), "spans", max_tokens=64, stride=64)
    task = task_of(bert(), "spans", max_tokens=30, stride=25)
    with pytest.raises(
        ConfigError, match=r"task\.stride: got 25, where the question of record q leaves \d+ tokens"
    ):
        task.check([asking("food")])
    task.check([asking("food", context="it is food")])
    with pytest.raises(ConfigError, match="leaves 0 tokens"):
        task_of(bert(), "spans", max_tokens=8, stride=1).check([asking("food")])


def test_an_answer_that_no_window_holds_is_refused():
    record = asking(CONTEXT[20:70])
    task = task_of(bert(), "spans", max_tokens=40, stride=4)
    with pytest.raises(
        DataError,
        match=r"record q: got an answer of \d+ tokens, which no window holds whole, expected .* at most 5",
    ):
        task.check([record])
    task.check([record], labelled=False)
    task_of(bert(), "spans", max_tokens=120, stride=50).check([record])


def test_scores_of_answered_and_unanswerable_questions():
    task = task_of(bert(), "spans")
    records = [asking("food"), asking(), asking("cheap", "riverside")]
    rows = task.score(records, ["the food", "food", "riverside"], ["exact_match"])
    assert [(row["group"], row["values"]["exact_match"]) for row in rows] == [
        ("answered", 100.0), ("unanswerable", 0.0), ("all", pytest.approx(200 / 3)),
    ]  # fmt: skip
    assert [row["group"] for row in task.score(records[:1], ["food"], ["answer_f1"])] == ["all"]


def test_answers_that_are_too_long_to_be_given_are_counted_and_said():
    long = CONTEXT[: CONTEXT.index(" for")]
    task = task_of(bert(), "spans", max_tokens=64, stride=16, max_answer_tokens=4)
    records = [asking(long, name="long"), asking("riverside", name="short")]
    task.check(records)
    assert (task.counts, task.cut_note) == ({}, "")
    for _ in range(2):
        for record in records:
            task.encode(record)
    assert task.counts == {"long_answers": 1}
    assert task.cut_note.startswith("1 answer is longer than 4 tokens (task.max_answer_tokens)")
    n = len(bert().tokenizer(long, add_special_tokens=False)["input_ids"])
    enough = task_of(bert(), "spans", max_tokens=64, stride=16, max_answer_tokens=n)
    enough.encode(records[0])
    assert enough.counts == {}
    enough = task_of(bert(), "spans", max_tokens=64, stride=16, max_answer_tokens=n - 1)
    enough.encode(records[0])
    assert enough.counts == {"long_answers": 1}
