"""Slots in the text are vectors put into the input embeddings by hand."""

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.load import load_backbone
from softprompt.errors import PromptError
from softprompt.prompts.prompt import Prompt
from support.prompts import bare_prompt, close, pad, random_prefix, soft_tokens
from support.tiny import DECODERS, ENCODER_DECODERS, ENCODERS, MASKED_LMS, ids, tiny_backbone, tiny_model

ALL = pytest.mark.parametrize("family", [*DECODERS, *ENCODERS, *ENCODER_DECODERS, *MASKED_LMS])
SIDES = pytest.mark.parametrize("side", ["left", "right"])
A = torch.tensor([5, -1, 9, -2, -1, 7])  # the first slot stands twice
B = torch.tensor([-3, 4, -2, -1])


def slots(backbone: Backbone, n: int = 3, seed: int = 5, **options) -> Prompt:
    """Vectors of random numbers, large enough to matter."""
    return softprompt.p_tuning(backbone, n, encoder=None, seed=seed, **options)


def embedded(backbone: Backbone, prompt: Prompt, row: Tensor) -> Tensor:
    """A row's input embeddings with the vectors put in by hand, `[1, seq, hidden]`."""
    table: Any = backbone.model.get_input_embeddings()
    columns = [prompt().vectors[-1 - i] if i < 0 else table(i[None])[0] for i in row]
    return torch.stack(columns)[None]


def by_hand(backbone: Backbone, prompt: Prompt, row: Tensor) -> Tensor:
    """What the model says of one row, `[seq, vocab or hidden]`."""
    given = {"inputs_embeds": embedded(backbone, prompt, row)}
    if backbone.spec.is_encoder_decoder:
        given["decoder_input_ids"] = ids(1, 4, 50)
    return backbone.model(**given)[0][0]


def run(backbone: Backbone, rows: list[Tensor], side: str = "right") -> list[Tensor]:
    """The same of several rows in one batch."""
    given = pad(rows, side)
    longest = given["input_ids"].shape[1]
    if backbone.spec.is_encoder_decoder:
        return list(backbone.model(**given, decoder_input_ids=ids(1, 4, 50).expand(len(rows), -1))[0])
    out = backbone.model(**given)[0]
    return [
        out[i, longest - len(row) :] if side == "left" else out[i, : len(row)] for i, row in enumerate(rows)
    ]


@ALL
@SIDES
def test_equals_vectors_put_into_the_input_by_hand(family, side):
    backbone = tiny_backbone(family)
    prompt = slots(backbone)
    with backbone.prompted(prompt):
        ours = run(backbone, [A, B, ids(1, 5)[0]], side)
    for got, row in zip(ours, [A, B, ids(1, 5)[0]], strict=True):
        close(got, by_hand(backbone, prompt, row))


@ALL
@SIDES
def test_a_mixed_batch_is_one_run_per_row(family, side):
    backbone = tiny_backbone(family)
    prompts = [
        slots(backbone, 3),
        random_prefix(backbone, 4),
        slots(backbone, 2, seed=6),
        None,
        soft_tokens(backbone, 3),
        bare_prompt(backbone),
    ]
    words = [ids(1, n, n)[0] for n in (3, 6, 5, 4)]
    rows = [B, words[0], A, words[1], words[2], words[3], A]
    which = [0, 1, 2, 3, 4, 5, 0]
    with backbone.prompted(prompts, rows=which):
        mixed = run(backbone, rows, side)
    for got, row, i in zip(mixed, rows, which, strict=True):
        with backbone.prompted(prompts[i]):
            close(got, run(backbone, [row])[0])


@ALL
def test_gradients_are_those_of_vectors_put_in_by_hand(family):
    backbone = tiny_backbone(family)
    prompt = softprompt.p_tuning(backbone, 3)
    theirs = torch.autograd.grad(by_hand(backbone, prompt, A).square().mean(), list(prompt.parameters()))
    with backbone.prompted(prompt):
        loss = run(backbone, [A])[0].square().mean()
        ours = torch.autograd.grad(loss, list(prompt.parameters()))
    assert all(grad.abs().max() > 0 for grad in theirs)
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)


@ALL
def test_leaving_restores_the_bare_backbone_bit_for_bit(family):
    backbone = tiny_backbone(family)
    rows = [ids(1, 6)[0]]
    attributes = {m: set(vars(m)) for m in backbone.model.modules()}
    hooks = {m: (len(m._forward_pre_hooks), len(m._forward_hooks)) for m in backbone.model.modules()}
    bare = run(backbone, rows)[0]
    for prompt in (slots(backbone), None):
        with backbone.prompted(prompt):
            assert torch.equal(run(backbone, rows)[0], bare)  # a text without slots is not touched
        with pytest.raises(PromptError), backbone.prompted(prompt):
            run(backbone, [torch.tensor([3, -9])])
        assert torch.equal(run(backbone, rows)[0], bare)
    assert {m: set(vars(m)) for m in backbone.model.modules()} == attributes
    assert hooks == {m: (len(m._forward_pre_hooks), len(m._forward_hooks)) for m in backbone.model.modules()}


@pytest.mark.parametrize("family", [*DECODERS, *ENCODER_DECODERS])
@pytest.mark.parametrize("beams", [1, 2])
def test_generation_mixed_is_generation_by_hand(family, beams):
    backbone = tiny_backbone(family)
    prompts = [slots(backbone, 3), random_prefix(backbone, 2), slots(backbone, 2, seed=6)]
    rows = [B, ids(1, 5)[0], A]
    options = {"max_new_tokens": 6, "num_beams": beams, "do_sample": False, "eos_token_id": None}
    with backbone.prompted(prompts):
        together = backbone.model.generate(**pad(rows, "left"), **options)[:, -6:]
        uncached = backbone.model.generate(**pad(rows, "left"), **options, use_cache=False)[:, -6:]
    assert torch.equal(together, uncached)
    for got, prompt, row in zip(together, prompts, rows, strict=True):
        if prompt.card.placement == "key_values":
            with backbone.prompted(prompt):
                alone = backbone.model.generate(input_ids=row[None], **options)[0, -6:]
        else:
            embeds = embedded(backbone, prompt, row)
            mask = torch.ones(1, len(row), dtype=torch.long)
            alone = backbone.model.generate(inputs_embeds=embeds, attention_mask=mask, **options)[0, -6:]
        assert torch.equal(got, alone)


@pytest.mark.parametrize(
    ("family", "scale"), [("gemma3", 32**0.5), ("bart_scaled", 32**0.5), ("t5", 1.0), ("llama", 1.0)]
)
def test_scaled_tables_scale_words_once_and_slots_never(family, scale):
    model: Any = tiny_model(family.removesuffix("_scaled"))
    table: Any = model.get_input_embeddings()
    if family == "bart_scaled":
        table.embed_scale = model.model.encoder.embed_tokens.embed_scale = scale
    backbone = load_backbone(model)
    prompt = slots(backbone, 1)
    seen: list[Tensor] = []
    stack = backbone.map.stacks["encoder" if backbone.spec.is_encoder_decoder else "decoder"].module
    own = stack.forward

    def forward(*args, **kwargs):
        seen.append(kwargs["inputs_embeds"])  # a first pass tries whether the stack takes any
        return own(*args, **kwargs)

    functools.update_wrapper(forward, own)
    stack.forward = forward  # somebody's own, below whatever prompts do
    with backbone.prompted(prompt):
        run(backbone, [torch.tensor([5, -1])])
    assert stack.__dict__["forward"] is forward
    close(seen[-1][0, 0], table.weight[5] * scale)
    assert torch.equal(seen[-1][0, 1], prompt().vectors[0])


@pytest.mark.parametrize("family", ["bert", "albert", "deberta", "electra"])
def test_types_are_the_texts_own(family):
    backbone = tiny_backbone(family)
    prompt, types = slots(backbone), torch.tensor([[0, 0, 0, 1, 1, 1]])
    with backbone.prompted(prompt):
        ours = backbone.read({"input_ids": A[None], "token_type_ids": types})
        without = backbone.read({"input_ids": A[None]})
    embeds = embedded(backbone, prompt, A)
    close(ours, backbone.model(inputs_embeds=embeds, token_type_ids=types).last_hidden_state)
    assert not torch.allclose(ours, without, atol=1e-2)


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert_mlm", "t5"])
def test_checkpointing_has_the_same_gradients(family):
    gradients = []
    for checkpointing in (False, True):
        backbone = tiny_backbone(family)
        prompt = slots(backbone)
        with backbone.training_mode(gradient_checkpointing=checkpointing), backbone.prompted(prompt):
            given = {"input_ids": torch.stack([A, B.repeat(2)[:6]])}
            given |= {"decoder_input_ids": ids(2, 4)} if family == "t5" else {}
            given |= {} if family == "bert_mlm" else {"use_cache": False}
            backbone.model(**given)[0].square().mean().backward()
        gradients.append([p.grad.clone() for p in prompt.parameters()])
    assert gradients[0][0].abs().max() > 0
    for a, b in zip(*gradients, strict=True):
        close(a, b)


def test_a_static_cache_and_float32_slots_on_bfloat16():
    backbone = tiny_backbone("llama")
    prompt = slots(backbone)
    options = {"input_ids": A[None], "max_new_tokens": 5, "do_sample": False, "eos_token_id": None}
    with backbone.prompted(prompt):
        dynamic = backbone.model.generate(**options)
        static = backbone.model.generate(**options, cache_implementation="static", disable_compile=True)
    assert torch.equal(dynamic, static)
    backbone = load_backbone(tiny_model("llama"), dtype="bfloat16")
    prompt = slots(backbone)
    assert prompt().vectors.dtype == torch.float32
    with backbone.prompted(prompt):
        logits = backbone.model(input_ids=A[None]).logits
    assert logits.dtype == torch.bfloat16 and torch.isfinite(logits).all()


def test_slots_take_positions_of_the_text_and_no_more():
    backbone = tiny_backbone("gpt2")
    long = torch.cat([A, ids(1, 122)[0]])[None]
    with backbone.prompted(slots(backbone)):
        assert backbone.model(input_ids=long).logits.shape[1] == 128
        with pytest.raises(softprompt.errors.BackboneError, match="129 tokens of text"):
            backbone.model(input_ids=torch.cat([long, long[:, -1:]], 1))


@pytest.mark.parametrize(
    ("prompts", "rows", "message"),
    [
        (
            lambda b: [slots(b, 3), slots(b, 2)],
            [[5, -3], [-3, 5]],
            r"input_ids: got -3 in row 1, expected -1 to -2, the 2 slots of its prompt. Encode the text",
        ),
        (lambda b: [slots(b, 1)], [[5, -100]], r"got -100 in row 0, expected -1, its prompt's one slot"),
        (
            lambda b: [slots(b, 3), None],
            [[5, -3], [5, -1]],
            r"input_ids: got -1 in row 1, which has no prompt, expected ids from 0. Use p_tuning",
        ),
        (
            lambda b: [random_prefix(b)],
            [[-2, 7]],
            r"got -2 in row 0, which has a prefix_tuning prompt without slots in the text",
        ),
        (lambda b: [soft_tokens(b)], [[-1, 7]], r"got -1 in row 0, which has a prompt_tuning prompt"),
        (lambda b: [None], [[5, -4]], r"got -4 in row 0, which has no prompt"),
    ],
)
@pytest.mark.parametrize("family", ["llama", "bert_mlm", "t5"])
def test_ids_that_name_no_slot_are_refused(family, prompts, rows, message):
    backbone = tiny_backbone(family)
    batch = torch.tensor(rows)
    given = {"decoder_input_ids": ids(len(rows), 2)} if family == "t5" else {}
    with backbone.prompted(prompts(backbone)), pytest.raises(PromptError, match=message):
        backbone.model(input_ids=batch, **given)


@pytest.mark.parametrize("family", ["llama", "bert_mlm", "t5"])
def test_slots_outside_prompted_are_refused(family):
    backbone = tiny_backbone(family)
    message = r"input_ids: got -1 in row 0, a slot without a prompt, expected ids from 0. Enter"
    with pytest.raises(PromptError, match=message):
        backbone.read({"input_ids": A[None]})
    with pytest.raises(PromptError, match=message):
        backbone.labelled_logits({"input_ids": A[None]}, torch.ones(1, 6, dtype=torch.bool))


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_a_decoder_that_has_an_encoder_takes_no_slots(family):
    backbone = tiny_backbone(family)
    message = r"decoder_input_ids: got -1 in row 0, expected ids from 0. Put slots into the encoder's text"
    with backbone.prompted(slots(backbone)), pytest.raises(PromptError, match=message):
        backbone.model(input_ids=A[None], decoder_input_ids=torch.tensor([[3, -1]]))


def test_a_card_with_shifted_slots_in_the_text_is_refused():
    backbone = tiny_backbone("llama")
    prompt = slots(backbone).describe(positions="shifted")
    message = r"prompt\.positions: got 'shifted', expected 'unshifted', since slots in the text"
    with pytest.raises(PromptError, match=message):
        backbone.prompted(prompt)
    assert slots(backbone).card.positions == "unshifted"
