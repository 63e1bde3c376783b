"""Masked language models: loaded with their heads, read and scored like the others."""

from typing import Any

import pytest
import torch

import softprompt
from softprompt.backbones.load import load_backbone
from softprompt.errors import BackboneError
from support.prompts import bare_prompt, close, inputs_for, pad, random_prefix, soft_tokens
from support.tiny import MASKED_LMS, ids, tiny_backbone, tiny_model
from support.tokenizer import byte_level

ALL = pytest.mark.parametrize("family", MASKED_LMS)


@pytest.fixture
def saved(tmp_path):
    def save(family: str):
        folder = tmp_path / family
        tiny_model(family).save_pretrained(folder)
        byte_level().save_pretrained(folder)
        return folder

    return save


@ALL
def test_a_checkpoint_with_a_head_is_loaded_with_it(family, saved):
    model = tiny_model(family)
    backbone = load_backbone(saved(family), device="cpu")
    assert type(backbone.model) is type(model)
    inputs = {"input_ids": ids(2, 6)}
    assert torch.equal(backbone.model(**inputs).logits, model(**inputs).logits)


def test_an_encoder_without_one_stays_an_encoder(saved):
    backbone = load_backbone(saved("bert"), device="cpu")
    assert type(backbone.model).__name__ == "BertModel"
    labelled = torch.ones(1, 4, dtype=torch.bool)
    with pytest.raises(BackboneError, match=r"\(BertModel\) without a vocabulary head, expected a language"):
        backbone.labelled_logits({"input_ids": ids(1, 4)}, labelled)


@ALL
def test_labelled_logits_are_those_of_the_whole_text(family):
    backbone = tiny_backbone(family)
    inputs = pad([ids(1, n, n)[0] for n in (4, 7, 5)], "left")
    labelled = inputs["attention_mask"].bool() & (torch.rand(3, 7, generator=torch.manual_seed(0)) < 0.5)
    assert 2 < labelled.sum() < 12
    for prompt in (None, random_prefix(backbone), soft_tokens(backbone), softprompt.p_tuning(backbone, 2)):
        with backbone.prompted(prompt):
            whole = backbone.model(**inputs).logits
            close(backbone.labelled_logits(inputs, labelled), whole[labelled])


@ALL
def test_the_head_sees_labelled_positions_only(family):
    backbone = tiny_backbone(family)
    model: Any = backbone.model
    base = set(model.base_model.modules())
    seen: set[int] = set()
    handles = [
        module.register_forward_hook(lambda _, args, output: seen.add(output.shape[-2]))
        for module in model.modules()
        if module not in base and isinstance(module, torch.nn.Linear | torch.nn.LayerNorm)
    ]
    labelled = torch.zeros(2, 7, dtype=torch.bool)
    labelled[0, 3] = labelled[1, 1] = labelled[1, 5] = True
    backbone.labelled_logits(inputs_for(backbone), labelled)
    for handle in handles:
        handle.remove()
    assert len(handles) > 1 and seen == {3}
    hooks = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert hooks == []


@ALL
def test_it_is_read_as_the_encoder_alone(family):
    backbone, encoder = tiny_backbone(family), tiny_backbone(family.removesuffix("_mlm"))
    assert {site for site, _ in backbone.attentions} == {"encoder"}
    assert backbone.attentions == encoder.attentions
    assert (backbone.hidden, backbone.state_size) == (encoder.hidden, encoder.state_size)
    inputs = pad([ids(1, n, n)[0] for n in (4, 7)], "right")
    states = backbone.model.base_model(**inputs).last_hidden_state
    close(backbone.read(inputs)[1], states[1])
    with backbone.prompted(bare_prompt(backbone)):
        assert torch.equal(backbone.read(inputs), backbone.read(inputs))


def test_a_prompt_for_the_encoder_fits_the_masked_model_too(saved, tmp_path):
    masked = load_backbone(saved("bert_mlm"), device="cpu")
    from transformers import BertModel

    encoder = load_backbone(BertModel.from_pretrained(saved("bert_mlm")))
    assert masked.spec.fingerprint == encoder.spec.fingerprint
    random_prefix(encoder).save(tmp_path / "prompt")
    inputs = {"input_ids": ids(2, 5)}
    with masked.prompted(softprompt.load_prompt(tmp_path / "prompt", masked)):
        ours = masked.read(inputs)
    with encoder.prompted(softprompt.load_prompt(tmp_path / "prompt", encoder)):
        close(ours, encoder.read(inputs))


def test_gradients_reach_a_prompt_through_the_head():
    backbone = tiny_backbone("bert_mlm")
    prompt = random_prefix(backbone)
    labelled = torch.eye(2, 7, dtype=torch.bool)
    inputs = inputs_for(backbone)
    with backbone.prompted(prompt):
        ours = torch.autograd.grad(
            backbone.labelled_logits(inputs, labelled).square().sum(), list(prompt.parameters())
        )
        theirs = torch.autograd.grad(
            backbone.model(**inputs).logits[labelled].square().sum(), list(prompt.parameters())
        )
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)
