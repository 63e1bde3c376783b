"""Heads: what they read, how they begin, how they are kept."""

from typing import Any

import pytest
import torch

import softprompt
from softprompt.errors import PromptError
from softprompt.files.prompt_card import HeadCard
from softprompt.prompts.heads import Head, pool_text
from softprompt.prompts.methods.builder import new_head
from support.prompts import close, pad
from support.reading import head_of
from support.tiny import ids, tiny_backbone

LABELS = ("no", "yes", "perhaps")


def states_and_mask(side, lengths=(2, 5, 3), width=4):
    """States that are not numbers at padding, which nothing may read."""
    rows = [torch.randn(n, width, generator=torch.Generator().manual_seed(n)) for n in lengths]
    longest = max(lengths)
    states = torch.full((len(rows), longest, width), float("nan"))
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(longest - len(row), longest) if side == "left" else slice(0, len(row))
        states[i, place], mask[i, place] = row, 1
    return rows, states, mask


@pytest.mark.parametrize("side", ["left", "right"])
def test_pooling_reads_real_tokens_alone(side):
    rows, states, mask = states_and_mask(side)
    for pooling, expected in (
        ("first", [row[0] for row in rows]),
        ("last", [row[-1] for row in rows]),
        ("mean", [row.mean(0) for row in rows]),
    ):
        torch.testing.assert_close(pool_text(states, mask, pooling), torch.stack(expected))


def test_a_mean_is_taken_in_float32():
    states = torch.full((1, 1000, 2), 1.01, dtype=torch.bfloat16)
    mean = pool_text(states, torch.ones(1, 1000, dtype=torch.long), "mean")
    torch.testing.assert_close(mean, states[:, 0].float())


@pytest.mark.parametrize("method", ["p_tuning_v2", "prompt_tuning", "head_only"])
@pytest.mark.parametrize("family", ["bert", "roberta", "deberta_v3", "t5", "gpt2", "llama"])
def test_padding_changes_nothing_and_no_prompt_is_pooled(family, method):
    backbone = tiny_backbone(family)
    rows = [ids(1, n, seed=n)[0] for n in (3, 7, 5)]
    for pooling in (None, "first", "last", "mean"):
        head = softprompt.head("sequence", LABELS, pooling=pooling)
        options: dict[str, Any] = (
            {} if method == "head_only" else {"length": 4, "initialization": "vocabulary"}
        )
        prompt = getattr(softprompt, method)(backbone, head=head, **options).eval()
        with torch.no_grad(), backbone.prompted(prompt):
            outputs = {}
            for side in ("left", "right"):
                inputs = pad(rows, side)
                outputs[side] = head_of(prompt)(backbone.read(inputs), inputs["attention_mask"])
            alone = []
            for row in rows:
                states = backbone.read(pad([row], "right"))
                # The text's own tokens and no others: a prompt takes no place among them.
                assert states.shape[1] == len(row)
                alone.append(head_of(prompt)(states, torch.ones(1, len(row), dtype=torch.long)))
        for found in outputs.values():
            close(found, torch.cat(alone))


@pytest.mark.parametrize(
    ("family", "pooling"),
    [("bert", "first"), ("modernbert", "first"), ("gpt2", "last"), ("llama", "last"), ("t5", "last")],
)
def test_the_pooling_left_open_is_the_familys(family, pooling):
    backbone = tiny_backbone(family)
    for kind, labels in (("sequence", LABELS), ("choice", ()), ("value", ())):
        prompt = softprompt.head_only(backbone, head=softprompt.head(kind, labels))
        assert prompt.card.head.pooling == prompt.head.card.pooling == pooling
    tokens = softprompt.head_only(backbone, head=softprompt.head("span"))
    assert tokens.card.head.pooling is None


def test_a_head_begins_at_small_numbers_of_its_own_seed_whatever_stands_beside_it():
    backbone = tiny_backbone("bert")
    card = softprompt.head("sequence", [str(i) for i in range(400)])
    head = new_head(backbone, card, 3)
    assert head.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert head.weight.mean().item() == pytest.approx(0, abs=1e-3)
    assert not head.bias.any()
    others = [
        softprompt.p_tuning_v2(backbone, 5, head=card, seed=3),
        softprompt.p_tuning_v2(backbone, 9, reparameterization="mlp", head=card, seed=3),
        softprompt.prompt_tuning(backbone, head=card, seed=3),
        softprompt.head_only(backbone, head=card, seed=3),
        softprompt.fine_tuning(backbone, head=card, seed=3),
    ]
    assert all(torch.equal(prompt.head.weight, head.weight) for prompt in others)
    assert not torch.equal(new_head(backbone, card, 4).weight, head.weight)
    # ... and the prompt does not change by having a head.
    bare = softprompt.p_tuning_v2(backbone, 5, seed=3).tensors()
    assert all(torch.equal(others[0].tensors()[name], tensor) for name, tensor in bare.items())


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("sequence", (2, 3)), ("token", (2, 5, 3)), ("span", (2, 5, 2)), ("choice", (2, 1)), ("value", (2, 1))],
)
def test_outputs_are_float32_in_their_shape_on_a_half_precision_backbone(kind, shape):
    backbone = tiny_backbone("bert")
    backbone.model.to(torch.bfloat16)
    prompt = softprompt.p_tuning_v2(backbone, 3, head=softprompt.head(kind, LABELS if shape[-1] == 3 else ()))
    inputs = pad([ids(1, 5)[0], ids(1, 3)[0]], "right")
    with backbone.prompted(prompt):
        states = backbone.read(inputs)
        outputs = head_of(prompt)(states, inputs["attention_mask"])
    assert states.dtype == torch.bfloat16
    assert (outputs.dtype, tuple(outputs.shape)) == (torch.float32, shape)
    outputs.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in prompt.parameters())


def test_dropout_acts_on_the_states_while_training_only():
    head = Head(HeadCard(kind="span", dropout=0.5), 6, torch.Generator().manual_seed(0))
    states, mask = torch.ones(1, 3, 6), torch.ones(1, 3, dtype=torch.long)
    assert not torch.equal(head(states, mask), head(states, mask))
    head.eval()
    torch.testing.assert_close(head(states, mask), head.weight.sum(1).expand(1, 3, 2))


@pytest.mark.parametrize("method", ["p_tuning_v2", "prompt_tuning", "head_only", "fine_tuning"])
def test_kept_with_the_prompt_and_read_again(tmp_path, method):
    backbone = tiny_backbone("bert")
    options: dict[str, Any] = {"length": 3} if "tuning_v2" in method or method == "prompt_tuning" else {}
    head = softprompt.head("sequence", LABELS, pooling="mean", dropout=0.25)
    prompt = getattr(softprompt, method)(backbone, head=head, **options)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.add_(0.1)
    prompt.save(tmp_path / "p")
    again = softprompt.load_prompt(tmp_path / "p", backbone)
    assert again.head.card == prompt.head.card == head
    assert again.card.head == head and again.card.weights == prompt.card.weights
    assert prompt.tensors().keys() == again.tensors().keys()
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in prompt.tensors().items())
    assert again.n_stored_parameters == prompt.n_stored_parameters
    inputs = pad([ids(1, 5)[0], ids(1, 3)[0]], "right")
    outputs = []
    # A loaded prompt is for use: its head's dropout is off until it is trained again.
    for one in (prompt.eval(), again):
        with torch.no_grad(), backbone.prompted(one):
            outputs.append(head_of(one)(backbone.read(inputs), inputs["attention_mask"]))
    assert torch.equal(*outputs)


def test_baking_keeps_the_head(tmp_path):
    backbone = tiny_backbone("llama")
    card = softprompt.head("token", LABELS)
    prompt = softprompt.p_tuning_v2(backbone, 3, reparameterization="mlp", head=card)
    baked = prompt.bake()
    assert baked.head is not prompt.head and torch.equal(baked.head.weight, prompt.head.weight)
    assert baked.card.head == card
    n_head = 3 * 32 + 3
    assert baked.n_trained_parameters == baked.n_stored_parameters == 2 * 3 * 3 * 16 + n_head


def test_a_prompt_begun_from_another_takes_its_head_where_it_says_the_same():
    backbone = tiny_backbone("bert")
    first = softprompt.p_tuning_v2(backbone, 3, head=softprompt.head("sequence", LABELS), seed=1)
    begin: dict[str, Any] = {"initialization": first, "seed": 2}
    calmer = softprompt.p_tuning_v2(backbone, head=softprompt.head("sequence", LABELS, dropout=0.3), **begin)
    assert torch.equal(calmer.head.weight, first.head.weight)
    assert calmer.head.weight is not first.head.weight and calmer.head.card.dropout == 0.3
    for other in (softprompt.head("sequence", LABELS[::-1]), softprompt.head("sequence", LABELS[:2])):
        fresh = softprompt.p_tuning_v2(backbone, head=other, **begin)
        assert torch.equal(fresh.head.weight, new_head(backbone, other, 2).weight)
    assert softprompt.p_tuning_v2(backbone, **begin).head is None


def test_a_stored_head_that_does_not_fit_its_card_is_refused(tmp_path):
    from softprompt.files import prompt_folder

    backbone = tiny_backbone("bert")
    prompt = softprompt.head_only(backbone, head=softprompt.head("sequence", LABELS))
    more = prompt.card.head.model_copy(update={"labels": (*LABELS, "never")})
    card = prompt.card.model_copy(update={"head": more})
    prompt_folder.write_prompt(tmp_path / "more", prompt.tensors(), card)
    with pytest.raises(PromptError, match=r"head\.weight: got shape \[3, 32\], expected shape \[4, 32\]\."):
        softprompt.load_prompt(tmp_path / "more", backbone)
    prompt_folder.write_prompt(tmp_path / "none", {}, prompt.card)
    with pytest.raises(PromptError, match=r"head\.weight: got no such tensor, expected a tensor"):
        softprompt.load_prompt(tmp_path / "none", backbone)
    prompt_folder.write_prompt(
        tmp_path / "besides", prompt.tensors(), prompt.card.model_copy(update={"head": None})
    )
    with pytest.raises(
        PromptError,
        match=r"'head\.\w+', which the card does not name, expected the tensors of the card alone",
    ):
        softprompt.load_prompt(tmp_path / "besides", backbone)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("verdict",), {}, r"head\.kind: got 'verdict', expected one of sequence, token, span"),
        (("sequence",), {}, r"head\.labels: got no labels, expected at least two labels\."),
        (("sequence", ["one"]), {}, r"head\.labels: got \['one'\], expected at least two labels, each once"),
        (("token", ["a", "b", "a"]), {}, r"head\.labels: got \['a', 'b', 'a'\], expected .* each once"),
        (("sequence", "ab"), {}, r"head\.labels: got 'ab', expected at least two labels"),
        (("span", ["a", "b"]), {}, r"expected no labels, since a span head"),
        (("token", ["a", "b"]), {"pooling": "first"}, r"head\.pooling: got 'first' for a token head"),
        (("span",), {"pooling": "mean"}, r"head\.pooling: got 'mean' for a span head"),
        (
            ("value",),
            {"pooling": "max"},
            r"head\.pooling: got 'max' for a value head, expected 'first', 'last'",
        ),
        (("value",), {"dropout": 1.0}, r"head\.dropout: got 1\.0, expected a probability"),
    ],
)
def test_what_says_nothing_is_refused(arguments, options, message):
    with pytest.raises(PromptError, match=message):
        softprompt.head(*arguments, **options)


def test_a_baseline_needs_a_head():
    with pytest.raises(
        PromptError, match=r"head_only: got no head, expected a head, since nothing else is trained"
    ):
        softprompt.head_only(tiny_backbone("bert"))
