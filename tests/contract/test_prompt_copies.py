"""Copies of a prompt share nothing; prompts are made and loaded in any mode, where the backbone is."""

import copy
import pickle

import pytest
import torch

import softprompt
from softprompt.prompts.placements import KeyValues
from support.prompts import random_prefix, same, text_for
from support.tiny import tiny_backbone
from support.tiny_vision import tiny_vision

# -- copies --------------------------------------------------------------------------------------


def kinds(backbone):
    pytest.importorskip("peft")
    head = softprompt.head("sequence", ["no", "yes"])
    yield softprompt.p_tuning_v2(
        backbone, 3, head=head, tune="layernorm", reparameterization="mlp", dropout=0.2
    )
    yield softprompt.adapter(backbone, width=2, head=head)
    yield softprompt.p_tuning(backbone, 3)
    yield softprompt.lora(backbone, head=head)


def test_bake_shares_nothing():
    for prompt in kinds(tiny_backbone("bert")):
        baked, dropped = prompt.bake(), prompt.dropout.p
        before = {name: tensor.clone() for name, tensor in baked.tensors().items()}
        assert same(prompt, baked)
        places = {p.data_ptr() for p in prompt.parameters()}
        assert not places & {p.data_ptr() for p in baked.parameters()}
        with torch.no_grad():
            for parameter in prompt.parameters():
                parameter.add_(1.0)
        prompt.dropout.p = 0.9
        assert all(torch.equal(tensor, before[name]) for name, tensor in baked.tensors().items())
        assert baked.dropout.p == dropped and baked.dropout is not prompt.dropout


def test_copies_are_equal():
    backbone = tiny_backbone("bert")
    for prompt, fresh in zip(kinds(backbone), kinds(backbone), strict=True):
        with torch.no_grad():
            for parameter in prompt.parameters():
                parameter.add_(0.5)
        for other in (copy.deepcopy(prompt), pickle.loads(pickle.dumps(prompt))):
            assert same(prompt, other) and other.card == prompt.card and other.accepted == prompt.accepted
            read = []
            for one in (prompt, other):
                with backbone.prompted(one.eval()), torch.no_grad():
                    read.append(backbone.read(text_for(backbone)))
            assert torch.equal(*read)
        assert not same(prompt, fresh)
        fresh.load_state_dict(prompt.state_dict())
        assert same(prompt, fresh)


# -- inference mode, devices ---------------------------------------------------------------------

MADE = {
    "prefix": lambda b: softprompt.prefix_tuning(b, 3),
    "plain prefix": lambda b: random_prefix(b, 3),
    "soft": lambda b: softprompt.prompt_tuning(b, 3),
    "soft mlp": lambda b: softprompt.prompt_tuning(b, 3, reparameterization="mlp"),
    "v2": lambda b: softprompt.p_tuning_v2(b, 3, tune="bitfit", head=softprompt.head("sequence", ["a", "b"])),
    "p": lambda b: softprompt.p_tuning(b, 2),
    "tuned": lambda b: softprompt.fine_tuning(b, tune="layernorm"),
    "head": lambda b: softprompt.head_only(b, head=softprompt.head("sequence", ["a", "b"])),
    "adapter": lambda b: softprompt.adapter(b, width=2),
    "lora": lambda b: softprompt.lora(b),
}


@pytest.mark.parametrize("name", MADE)
def test_made_loaded_and_saved_inside_inference_mode(tmp_path, name):
    if name == "lora":
        pytest.importorskip("peft")
    backbone = tiny_backbone("bert")
    outside = MADE[name](backbone)
    outside.save(tmp_path / "outside")
    with torch.inference_mode():
        inside = MADE[name](backbone)
        inside.save(tmp_path / "inside")
        loaded = softprompt.load_prompt(tmp_path / "outside", backbone)
        baked = inside.bake()
        assert torch.is_inference_mode_enabled()
    assert (tmp_path / "inside" / "prompt.safetensors").read_bytes() == (
        tmp_path / "outside" / "prompt.safetensors"
    ).read_bytes()
    for prompt in (inside, loaded, baked):
        assert same(prompt, outside)
        assert not any(tensor.is_inference() for tensor in prompt.state_dict().values())
        trained = [parameter for parameter in prompt.parameters() if parameter.requires_grad]
        torch.stack([parameter.square().sum() for parameter in trained]).sum().backward()
        assert trained and all(parameter.grad is not None for parameter in trained)
        optimizer = torch.optim.SGD(trained, 0.1)
        before = [parameter.detach().clone() for parameter in trained]
        optimizer.step()
        assert any(not torch.equal(a, b) for a, b in zip(before, trained, strict=True))


def test_pictures_inside_inference_mode():
    backbone = tiny_vision("vit")
    with torch.inference_mode():
        prompt = softprompt.visual_prompt_tuning(backbone, 2, head=softprompt.head("picture", ["a", "b"]))
    assert not any(tensor.is_inference() for tensor in prompt.state_dict().values())


@pytest.mark.parametrize("name", MADE)
def test_prompts_lie_where_the_backbone_does(tmp_path, monkeypatch, name):
    """On a device that every machine has: tensors of `meta` have a place and no numbers."""
    if name == "lora":
        pytest.importorskip("peft")
    backbone = tiny_backbone("bert")
    folder = MADE[name](backbone).save(tmp_path)
    monkeypatch.setattr(type(backbone), "device", torch.device("meta"))
    assert {p.device.type for p in softprompt.load_prompt(folder, backbone).parameters()} == {"meta"}
    assert {p.device.type for p in softprompt.load_prompt(folder, backbone, "cpu").parameters()} == {"cpu"}
    monkeypatch.setattr(type(backbone), "embed", lambda self, tokens: torch.zeros(len(tokens), 32))
    monkeypatch.setattr(type(backbone), "observe", lambda self, tokens: zeros_of(self, len(tokens)))
    assert {p.device.type for p in MADE[name](backbone).parameters()} == {"meta"}


def zeros_of(backbone, n):
    shape = backbone.attentions["encoder", 0]
    zeros = torch.zeros(3, shape.kv_heads, n, shape.key_dim)
    return (KeyValues("encoder", (0, 1, 2), zeros, zeros),)
