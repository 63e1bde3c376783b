"""Labels and numbers for texts and pairs."""

import pytest
import torch

import softprompt
from softprompt.data.records import LabelledText
from softprompt.errors import DataError
from support.prompts import close
from support.reading import BACKBONES, bert, gpt2, llama, prompt_of, task_of

LABELS = ("no", "yes", "perhaps")
PAIRS = [
    LabelledText("1", "the mill", "yes", "is cheap"),
    LabelledText("2", "Blue Spice is a Chinese restaurant", "no", "it serves food"),
    LabelledText("3", "food", "perhaps", "the mill serves English food in the city centre"),
]


@pytest.mark.parametrize("family", list(BACKBONES))
def test_loss_and_answers_are_those_of_rows_read_by_hand(family):
    backbone = BACKBONES[family]()
    task = task_of(backbone, "classification", LABELS)
    prompt = prompt_of(backbone, task)
    expected = []
    for record in PAIRS:
        if family in ("gpt2", "llama"):
            ids = backbone.tokenizer(record.text)["input_ids"] + backbone.token_ids(f"\n{record.second}")
            encoded = {"input_ids": [ids]}
        else:
            encoded = backbone.tokenizer([record.text], [record.second])
        inputs = {name: torch.tensor(encoded[name]) for name in encoded if name != "special_tokens_mask"}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        # One row without padding: its first or last token is the text's own.
        with torch.no_grad(), backbone.prompted(prompt):
            states = backbone.read(inputs)
        place = 0 if family == "bert" else -1
        expected.append(states[0, place] @ prompt.head.weight.T + prompt.head.bias)
    logits = torch.stack(expected)
    with torch.no_grad(), backbone.prompted(prompt):
        loss = task.loss([task.encode(record) for record in PAIRS])
        answers = task.predict(PAIRS)
    wanted = torch.tensor([1, 0, 2])
    close(loss, -logits.log_softmax(-1)[torch.arange(3), wanted].sum())
    assert answers == [LABELS[i] for i in logits.argmax(-1)]


def test_token_types_reach_bert():
    task = task_of(bert(), "classification", LABELS)
    prompt = prompt_of(bert(), task)
    with torch.no_grad(), bert().prompted(prompt):
        with_types = float(task.loss([task.encode(record) for record in PAIRS]))
    table = bert().model.get_parameter("embeddings.token_type_embeddings.weight")
    kept = table.detach().clone()
    try:
        table.data[1] = table.data[0]
        with torch.no_grad(), bert().prompted(prompt):
            without = float(task.loss([task.encode(record) for record in PAIRS]))
    finally:
        table.data.copy_(kept)
    assert abs(with_types - without) > 1e-3


def test_a_single_text_and_a_pair_are_different_rows():
    for backbone in (bert(), gpt2(), llama()):
        task = task_of(backbone, "classification", LABELS)
        single = task.encode(LabelledText("1", "the mill", "no"))
        pair = task.encode(LabelledText("1", "the mill", "no", "food"))
        assert len(single.rows) == len(pair.rows) == 1
        assert single.length < pair.length
        assert (single.labels, single.n_targets, single.n_rows) == ((0,), 1, 1)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, r"record 9: got no label, expected one of \['no', 'yes', 'perhaps'\]"),
        (
            "maybe",
            r"record 9: got the label 'maybe', expected one of .*Correct it, or list it in "
            r"task\.labels\.",
        ),
    ],
)
def test_labels_outside_the_declared_ones_are_refused_with_record_and_label(label, message):
    task = task_of(bert(), "classification", LABELS)
    record = LabelledText("9", "the mill", label)
    with pytest.raises(DataError, match=message):
        task.check([PAIRS[0], record])
    with pytest.raises(DataError, match=message):
        task.encode(record)
    task.check([record], labelled=False)


def test_texts_without_tokens_are_refused_before_training():
    task = task_of(bert(), "classification", LABELS)
    with pytest.raises(DataError, match="record 9: got a text without tokens"):
        task.check([LabelledText("9", " \u200b", "no")])


def test_scores_are_of_labels_and_of_whole_questions():
    task = task_of(bert(), "classification", ("false", "true"))
    records = [
        LabelledText(str(i), "t", label, tags={"question": question})
        for i, (label, question) in enumerate([("true", "a"), ("false", "a"), ("true", "b")])
    ]
    row, *classes = task.score(records, ["true", "true", "true"], ["accuracy", "f1", "question_em"])
    assert row["group"] == "all"
    assert row["values"] == pytest.approx({"accuracy": 200 / 3, "f1": 80.0, "question_em": 50.0})
    # of each class that records have: its recall, and its own F1
    assert [row["group"] for row in classes] == ["class false", "class true"]
    assert [row["values"] for row in classes] == [
        {"accuracy": 0.0, "f1": 0.0},
        {"accuracy": 100.0, "f1": pytest.approx(80.0)},
    ]


def test_regression_is_squared_error_and_gives_numbers():
    task = task_of(bert(), "regression")
    records = [
        LabelledText(str(i), t, n) for i, (t, n) in enumerate([("the mill", "0.5"), ("food is", "-2")])
    ]
    prompt = prompt_of(bert(), task)
    with torch.no_grad(), bert().prompted(prompt):
        said = task.predict(records)
        loss = task.loss([task.encode(record) for record in records])
    assert all(type(number) is float for number in said)
    assert float(loss) == pytest.approx((said[0] - 0.5) ** 2 + (said[1] + 2) ** 2, rel=1e-4)
    (row,) = task.score(records, [1.5, -1.0], ["rmse", "pearson"])
    assert row["values"] == pytest.approx({"rmse": 1.0, "pearson": 100.0})


@pytest.mark.parametrize("label", ["high", "nan", "inf", "", None])
def test_regression_needs_finite_numbers(label):
    task = task_of(bert(), "regression")
    got = "no label" if label is None else f"the label '{label}'"
    with pytest.raises(DataError, match=f"record 4: got {got}, expected a finite number"):
        task.check([LabelledText("4", "the mill", label)])


def test_a_trained_head_on_a_frozen_backbone_learns():
    task = task_of(bert(), "classification", LABELS)
    prompt = softprompt.p_tuning_v2(bert(), 3, head=task.head, seed=0)
    examples = [task.encode(record) for record in PAIRS]
    optimizer = torch.optim.Adam(prompt.parameters(), lr=0.05)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        with bert().prompted(prompt):
            loss = task.loss(examples)
            loss.backward()
        losses.append(loss.item())
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]
    with bert().prompted(prompt):
        assert task.predict(PAIRS) == [record.label for record in PAIRS]
