"""Soft tokens in front are embeddings in front."""

import pytest
import torch

import softprompt
from support.prompts import close, inputs_for, pad, random_prefix
from support.tiny import DECODERS, ENCODER_DECODERS, ids, tiny_backbone

ON_DECODERS = pytest.mark.parametrize("family", DECODERS)


def by_hand(backbone, prompt, x):
    vectors = prompt().vectors[None].expand(len(x), -1, -1)
    embeds = torch.cat([vectors, backbone.model.get_input_embeddings()(x)], dim=1)
    return backbone.model(inputs_embeds=embeds).logits[:, prompt.length :]


@ON_DECODERS
@pytest.mark.parametrize("reparameterization", ["mlp", None])
def test_equals_embeddings_put_in_front_by_hand(family, reparameterization):
    backbone = tiny_backbone(family)
    prompt = softprompt.prompt_tuning(
        backbone, 2, reparameterization=reparameterization, initialization="random"
    )
    x = ids(3, 4)  # prompt and text within the sliding window
    theirs = by_hand(backbone, prompt, x)
    expected = torch.autograd.grad(theirs.square().mean(), list(prompt.parameters()))
    with backbone.prompted(prompt):
        ours = backbone.model(input_ids=x).logits
        gradients = torch.autograd.grad(ours.square().mean(), list(prompt.parameters()))
    close(ours, theirs)
    for a, b in zip(gradients, expected, strict=True):
        close(a, b)


@ON_DECODERS
def test_output_has_the_texts_own_length_under_either_padding(family):
    backbone = tiny_backbone(family)
    prompt = softprompt.prompt_tuning(backbone, 2, initialization="random")
    rows = [ids(1, n, n)[0] for n in (2, 4, 3)]
    with backbone.prompted(prompt):
        left, right = backbone.model(**pad(rows, "left")).logits, backbone.model(**pad(rows, "right")).logits
    for i, row in enumerate(rows):
        alone = by_hand(backbone, prompt, row[None])[0]
        close(left[i, -len(row) :], alone)
        close(right[i, : len(row)], alone)


@ON_DECODERS
def test_generation_equals_embeddings_by_hand(family):
    backbone = tiny_backbone(family)
    prompt = softprompt.prompt_tuning(backbone, 2, initialization="random")
    x = ids(2, 3)
    with backbone.prompted(prompt):
        ours = backbone.model.generate(
            input_ids=x,
            attention_mask=torch.ones_like(x),
            max_new_tokens=1,
            do_sample=False,
            eos_token_id=None,
        )
    assert torch.equal(ours[:, -1], by_hand(backbone, prompt, x)[:, -1].argmax(-1))


def test_vocabulary_start_is_real_embeddings(tmp_path):
    backbone = tiny_backbone("gpt2")
    prompt = softprompt.prompt_tuning(backbone, 6, seed=3)
    table = backbone.model.get_input_embeddings().weight
    assert all((table == vector).all(dim=1).any() for vector in prompt().vectors)
    prompt.save(tmp_path / "p")
    again = softprompt.load_prompt(tmp_path / "p", backbone)
    assert torch.equal(again().vectors, prompt().vectors)


@ON_DECODERS
def test_checkpointing_has_the_same_gradients(family):
    gradients = []
    for checkpointing in (False, True):
        backbone = tiny_backbone(family)
        prompt = softprompt.prompt_tuning(backbone, 2, initialization="random")
        with backbone.training_mode(gradient_checkpointing=checkpointing), backbone.prompted(prompt):
            backbone.model(**inputs_for(backbone), use_cache=False).logits.square().mean().backward()
        gradients.append([p.grad.clone() for p in prompt.parameters()])
    for a, b in zip(*gradients, strict=True):
        close(a, b)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_before_an_encoder_equals_embeddings_by_hand(family):
    backbone = tiny_backbone(family)
    prompts = [softprompt.prompt_tuning(backbone, n, initialization="random", seed=n) for n in (2, 5)]
    rows = [ids(1, n, n)[0] for n in (4, 7, 6)]
    decoder = ids(3, 4, 50)
    with backbone.prompted([*prompts, None], rows=[1, 0, 2]):
        mixed = backbone.model(**pad(rows, "right"), decoder_input_ids=decoder).logits
    for i, prompt in enumerate([prompts[1], prompts[0], None]):
        embeds = backbone.model.get_input_embeddings()(rows[i][None])
        if prompt is not None:
            embeds = torch.cat([prompt().vectors[None], embeds], dim=1)
        alone = backbone.model(inputs_embeds=embeds, decoder_input_ids=decoder[i : i + 1]).logits
        close(mixed[i], alone[0])


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_before_an_encoder_generation_and_gradients(family):
    backbone = tiny_backbone(family)
    prompt = softprompt.prompt_tuning(backbone, 3, initialization="random")
    other = random_prefix(backbone, 2, positions="shifted")
    rows = [ids(1, n, n)[0] for n in (4, 7)]
    options = {"max_new_tokens": 5, "num_beams": 2, "do_sample": False, "eos_token_id": None}
    with backbone.prompted([prompt, other]):
        together = backbone.model.generate(**pad(rows, "right"), **options)
        backbone.model(**pad(rows, "right"), decoder_input_ids=ids(2, 3)).logits.sum().backward()
    assert prompt.blocks[0].flat.grad.abs().max() > 0
    for i, one in enumerate([prompt, other]):
        with backbone.prompted(one):
            alone = backbone.model.generate(input_ids=rows[i][None], **options)
        assert torch.equal(together[i], alone[0])


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_left_padding_before_an_encoder_changes_nothing(family):
    backbone = tiny_backbone(family)
    prompt = softprompt.prompt_tuning(backbone, 3, initialization="random")
    rows = [ids(1, 3)[0], ids(1, 5)[0]]
    decoder = ids(2, 3, 50)
    with backbone.prompted([prompt, None]):
        left = backbone.model(**pad(rows, "left"), decoder_input_ids=decoder).logits
        right = backbone.model(**pad(rows, "right"), decoder_input_ids=decoder).logits
    close(left, right)


def test_unshifted_soft_tokens_before_an_encoder_are_refused():
    backbone = tiny_backbone("t5")
    with pytest.raises(
        softprompt.errors.PromptError, match=r"prompt\.positions: got 'unshifted', expected 'shifted'"
    ):
        softprompt.prompt_tuning(backbone, 3, positions="unshifted")
