"""What all tasks with a head share: order, lengths, kinds of records, the head that fits."""

import random

import pytest
import torch

import softprompt
from softprompt.data.records import Choices, LabelledText, Record
from softprompt.errors import BackboneError, ConfigError, DataError, PromptError
from softprompt.tasks.headed.head_task import read
from support.questions import CASES, prompt_for, reader
from support.reading import bert, gpt2, prompt_of, task_of

FAMILIES = ("bert", "gpt2", "t5")
LABELS = ("no", "yes")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", list(CASES))
def test_answers_come_in_the_records_order_whatever_the_batches(family, case):
    backbone = reader(family)
    task = CASES[case].task(backbone, batch_size=4)
    prompt = prompt_for(backbone, task, "p_tuning_v2").eval()
    records = list(CASES[case].records) * 3
    random.Random(1).shuffle(records)
    done = []
    with backbone.prompted(prompt):
        alone = [task.predict([record])[0] for record in records]
        together = task.predict(records, progress=done.append)
    if case == "regression":
        assert together == pytest.approx(alone, abs=1e-4)
        assert len({round(value, 3) for value in together}) > 1
    else:
        assert together == alone
    assert sum(done) == len(records) and max(done) == 4


@pytest.mark.parametrize("case", list(CASES))
def test_the_loss_of_a_batch_is_the_sum_of_its_records(case):
    backbone = reader("bert")
    task = CASES[case].task(backbone)
    examples = [task.encode(record) for record in CASES[case].records]
    prompt = prompt_for(backbone, task, "p_tuning_v2").eval()
    with torch.no_grad(), backbone.prompted(prompt):
        whole = task.loss(examples)
        alone = [float(task.loss([example])) for example in examples]
    assert (whole.dtype, whole.ndim) == (torch.float32, 0)
    assert float(whole) == pytest.approx(sum(alone), rel=1e-5)
    assert all(example.length == sum(len(row.ids) for row in example.rows) for example in examples)


@pytest.mark.parametrize("case", list(CASES))
def test_gradients_reach_prompt_and_head_alone(case):
    backbone = reader("gpt2")
    task = CASES[case].task(backbone)
    prompt = prompt_for(backbone, task, "p_tuning_v2")
    with backbone.prompted(prompt):
        task.loss([task.encode(record) for record in CASES[case].records]).backward()
    assert all(p.grad is not None and p.grad.any() for p in prompt.parameters() if p is not prompt.head.bias)
    assert all(p.grad is None for p in backbone.model.parameters())


def test_labels_are_not_looked_at_when_predicting():
    task = task_of(bert(), "classification", LABELS)
    prompt = prompt_of(bert(), task)
    with bert().prompted(prompt):
        answers = [
            task.predict([LabelledText("1", "the mill", label)])[0] for label in (None, "yes", "unheard of")
        ]
    assert len(set(answers)) == 1


def test_each_example_is_read_by_its_own_prompts_head():
    task = task_of(bert(), "choice")
    records = [Choices(str(i), "the mill", ("is cheap", "serves food", "is"), 1) for i in range(3)]
    examples = [task.encode(record) for record in records]
    a, b = (prompt_of(bert(), task, seed) for seed in (1, 2))
    rows = [0] * 3 + [1] * 3 + [0] * 3
    with torch.no_grad():
        with bert().prompted([a, b], rows=rows):
            groups = list(read(bert(), examples))
            both = float(task.loss(examples))
        assert [(group.prompt, group.members) for group in groups] == [(a, [0, 2]), (b, [1])]
        alone = 0.0
        for prompt, members in ((a, [0, 2]), (b, [1])):
            with bert().prompted(prompt):
                alone += float(task.loss([examples[i] for i in members]))
        assert both == pytest.approx(alone, rel=1e-5)
        with (
            bert().prompted([a, b], rows=[0, 1, 0] * 3),
            pytest.raises(PromptError, match="different prompts for the rows of one example"),
        ):
            task.loss(examples)


def test_without_a_head_there_is_nothing_to_read():
    task = task_of(bert(), "regression")
    examples = [task.encode(LabelledText("1", "the mill", "0.5"))]
    bare = softprompt.p_tuning_v2(bert(), 3)
    with bert().prompted(bare), pytest.raises(PromptError, match="got a p_tuning_v2 prompt without a head"):
        task.loss(examples)
    with bert().prompted(None), pytest.raises(PromptError, match="prompted: got no prompt"):
        task.loss(examples)
    with pytest.raises(BackboneError, match="outside `with backbone"):
        task.loss(examples)


def test_a_head_for_other_labels_is_refused():
    task = task_of(bert(), "classification", ("no", "yes", "perhaps"))
    for head, got in (
        (softprompt.head("sequence", LABELS), r"got a sequence head for \['no', 'yes'\]"),
        (softprompt.head("sequence", ("yes", "no", "perhaps")), r"got a sequence head for \['yes', 'no'"),
        (softprompt.head("token", ("no", "yes", "perhaps")), r"got a token head for"),
        (softprompt.head("value"), r"got a value head,"),
    ):
        prompt = softprompt.head_only(bert(), head=head)
        with pytest.raises(
            PromptError, match=got + r".*expected a sequence head for \['no', 'yes', 'perhaps'\]"
        ):
            task.check_head(prompt)
        with bert().prompted(prompt), pytest.raises(PromptError, match=got):
            task.predict([LabelledText("1", "a")])
        with bert().prompted(prompt), pytest.raises(PromptError, match=got):
            task.loss([task.encode(LabelledText("1", "a", "no"))])
    with pytest.raises(PromptError, match="task classification: got no head, expected a sequence head"):
        task.check_head(softprompt.p_tuning_v2(bert(), 2))


def test_a_head_that_pools_otherwise_is_refused():
    prompt = softprompt.head_only(bert(), head=softprompt.head("sequence", LABELS, pooling="mean"))
    task_of(bert(), "classification", LABELS).check_head(prompt)
    task_of(bert(), "classification", LABELS, pooling="mean").check_head(prompt)
    with pytest.raises(PromptError, match=r"task\.pooling: got 'last', expected 'mean', by which the head"):
        task_of(bert(), "classification", LABELS, pooling="last").check_head(prompt)


def test_the_head_that_a_task_asks_for():
    task = task_of(bert(), "classification", LABELS, pooling="mean", head_dropout=0.3)
    assert task.head == softprompt.head("sequence", LABELS, pooling="mean", dropout=0.3)
    assert task_of(bert(), "spans", head_dropout=0.1).head == softprompt.head("span")
    with pytest.raises(PromptError, match=r"head\.labels: got no labels, expected at least two"):
        _ = task_of(bert(), "classification").head
    with pytest.raises(PromptError, match=r"got \['O', 'O'\], expected at least two labels, each once"):
        _ = task_of(bert(), "tagging", ("O", "O")).head


def test_records_of_another_kind_are_refused():
    for name, labels, record in (
        ("tagging", ("O", "B-x"), LabelledText("1", "a", "b")),
        ("classification", LABELS, Choices("1", "a", ("b", "c"), 0)),
        ("regression", (), Record("1", "a", ("b",))),
        ("choice", (), LabelledText("1", "a", "b")),
        ("spans", (), LabelledText("1", "a", "b")),
    ):
        message = rf"task\.name: got '{name}' with {type(record).__name__} records, expected \w+ records"
        with pytest.raises(ConfigError, match=message):
            task_of(bert(), name, labels).check([record])


def test_checking_leaves_no_trace_in_the_count_of_cut_texts():
    task = task_of(bert(), "classification", LABELS, max_tokens=5)
    records = [LabelledText(str(i), "the mill is cheap" + "!" * i, "no") for i in range(3)]
    task.check(records)
    task.check_positions(records, 3, training=True)
    task.demonstrations(records, 2, seed=0)
    assert task.n_cut == 0
    with bert().prompted(prompt_of(bert(), task)):
        for _ in range(2):
            task.predict(records)
    assert task.n_cut == 3


def test_positions_that_the_backbone_does_not_have_are_refused_with_the_record():
    long = LabelledText("long", "the mill " * 70, "no")
    task = task_of(bert(), "classification", LABELS, max_tokens=126)
    task.check_positions([long], 2, training=True)
    with pytest.raises(ConfigError) as caught:
        task.check_positions([LabelledText("short", "the", "no"), long], 3, training=False)
    assert str(caught.value) == (
        "record long: got 3 prompt positions and 126 tokens, expected at most 128 "
        "positions together (BertModel has no more). Lower task.max_tokens or the "
        "prompt's length, or set method.positions=unshifted (not for soft tokens before an "
        "encoder, which are part of its input)."
    )
    task.check_positions([LabelledText("short", "the", "no")], 100, training=False)


def test_demonstrations_are_records_as_the_backbone_reads_them():
    task = task_of(gpt2(), "classification", LABELS)
    records = [LabelledText(str(i), f"mill {i}", "no", second="food") for i in range(6)]
    drawn = task.demonstrations(records, 3, seed=4)
    assert drawn == task.demonstrations(records, 3, seed=4) != task.demonstrations(records, 3, seed=5)
    rows = [list(task.encode(record).rows[0].ids) for record in records]
    assert all(ids in rows for ids in drawn) and len({tuple(ids) for ids in drawn}) == 3
    with pytest.raises(DataError, match=r"demonstrations: got 7, expected at most 6, "):
        task.demonstrations(records, 7, seed=0)


def test_a_separator_that_would_be_ignored_is_refused():
    with pytest.raises(
        ConfigError,
        match=r"task\.separator: got ' ', expected no separator, since BertModel has tokens of "
        r"its",
    ):
        task_of(bert(), "classification", LABELS, separator=" ")
    task_of(gpt2(), "classification", LABELS, separator=" ")
