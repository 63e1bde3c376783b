"""Multiple choice: records with different numbers of choices in one batch."""

import pytest
import torch

from softprompt.data.records import Choices
from softprompt.errors import DataError
from support.prompts import close
from support.reading import bert, gpt2, head_of, prompt_of, task_of

RECORDS = [
    Choices("1", "the mill", ("is cheap", "serves English food in the city"), 1),
    Choices("2", "food", ("is", "it", "the mill", "cheap"), 3),
    Choices("3", "Blue Spice is a restaurant", ("by the riverside", "city", "in"), 0),
]


@pytest.mark.parametrize("build", [bert, gpt2])
def test_loss_is_a_softmax_over_each_records_own_choices(build):
    backbone = build()
    task = task_of(backbone, "choice")
    prompt = prompt_of(backbone, task)
    examples = [task.encode(record) for record in RECORDS]
    assert [example.n_rows for example in examples] == [2, 4, 3]
    assert [example.n_targets for example in examples] == [1, 1, 1]
    scores = []
    with torch.no_grad(), backbone.prompted(prompt):
        for example in examples:
            one = []
            for row in example.rows:
                inputs = {"input_ids": torch.tensor([row.ids])}
                inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
                if row.segments:
                    inputs["token_type_ids"] = torch.tensor([row.segments])
                one.append(head_of(prompt)(backbone.read(inputs), inputs["attention_mask"])[0, 0])
            scores.append(torch.stack(one))
        loss, answers = task.loss(examples), task.predict(RECORDS)
    by_hand = [
        torch.log(score.exp().sum()) - score[record.label]
        for score, record in zip(scores, RECORDS, strict=True)
    ]
    close(loss, torch.stack(by_hand).sum())
    assert answers == [int(score.argmax()) for score in scores]


def test_each_row_is_the_text_with_one_choice():
    task = task_of(bert(), "choice")
    rows = task.encode(RECORDS[0]).rows
    assert [list(row.ids) for row in rows] == [
        bert().tokenizer(RECORDS[0].text, choice)["input_ids"] for choice in RECORDS[0].choices
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Choices("7", "a", ("b", "c"), None), r"record 7: got no label, expected 0 to 1, the index"),
        (Choices("7", "a", ("b", "c"), 2), r"record 7: got the label 2, expected 0 to 1"),
        (Choices("7", "a", ("b", "c"), -1), r"record 7: got the label -1"),
        (Choices("7", "a", ("b",), 0), r"record 7: got 1 choices, expected at least 2"),
        (Choices("7", "a", ("b", "\u200b"), 0), r"record 7: got a second text without tokens"),
    ],
)
def test_what_cannot_be_chosen_is_refused(record, message):
    with pytest.raises(DataError, match=message):
        task_of(bert(), "choice").check([RECORDS[0], record])


def test_scores_count_the_right_indices():
    task = task_of(bert(), "choice")
    (row,) = task.score(RECORDS, [1, 0, 0], ["accuracy"])
    assert row == {"group": "all", "values": {"accuracy": pytest.approx(200 / 3)}, "notes": []}
