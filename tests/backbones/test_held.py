"""Quantised, spread and offloaded weights: what works is exact, the rest is refused by name."""

import pytest
import torch

import softprompt
from softprompt.backbones.load import load_backbone
from softprompt.errors import BackboneError, PromptError
from support.int8 import Int8Weight, dequantised, quantise
from support.prompts import close, disturb, inputs_for, random_prefix, soft_tokens
from support.tiny import tiny_model


def results(backbone, prompt):
    inputs = inputs_for(backbone)
    labelled = torch.ones_like(inputs["input_ids"], dtype=torch.bool)
    with backbone.prompted(prompt):
        losses = backbone.labelled_losses(inputs, labelled, inputs["input_ids"].flatten())
        return losses.detach(), torch.autograd.grad(losses.sum(), list(prompt.parameters()))


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("make", [random_prefix, soft_tokens])
def test_prompts_on_quantised_weights_are_prompts_on_what_they_mean(make, head):
    model = quantise(tiny_model("llama"), head)
    assert isinstance(model.model.layers[0].mlp.up_proj.weight, Int8Weight)
    backbone = load_backbone(model)
    losses, gradients = results(backbone, make(backbone))
    fingerprint = backbone.card.fingerprint
    plain = load_backbone(dequantised(model))
    assert plain.card.fingerprint == fingerprint != load_backbone(tiny_model("llama")).card.fingerprint
    expected, theirs = results(plain, make(plain))
    close(losses, expected)
    for a, b in zip(gradients, theirs, strict=True):
        assert b.abs().max() > 0
        close(a, b)


def test_adapters_beside_quantised_layers():
    backbone = load_backbone(quantise(tiny_model("llama")))
    prompt = disturb(softprompt.adapter(backbone, reduction=8))
    losses, _ = results(backbone, prompt)
    plain = load_backbone(dequantised(backbone.model))
    close(losses, results(plain, prompt)[0])


def test_biases_that_are_not_there_can_be_trained():
    backbone = load_backbone(quantise(tiny_model("llama")))
    prompt = softprompt.fine_tuning(backbone, tune="biases")
    _, gradients = results(backbone, prompt)
    assert all(g.dtype == torch.float32 for g in gradients) and max(g.abs().max() for g in gradients) > 0


@pytest.mark.parametrize("tune", ["all", "last:1"])
def test_quantised_tensors_cannot_be_trained(tune):
    backbone = load_backbone(quantise(tiny_model("llama")))
    with pytest.raises(PromptError) as caught:
        softprompt.fine_tuning(backbone, tune=tune)
    assert "a quantised tensor, expected a choice of plain tensors. Load the backbone without" in str(
        caught.value
    )


@pytest.mark.parametrize(("key", "value"), [("dtype", "float16"), ("device", "cpu")])
def test_quantised_weights_stay_as_they_are(key, value):
    with pytest.raises(BackboneError) as caught:
        load_backbone(quantise(tiny_model("llama")), **{key: value})
    assert str(caught.value) == (
        f"backbone.{key}: got '{value}' for a quantised model, expected no {key}, since quantised weights "
        f"keep the form in which they were loaded. Leave {key} out."
    )


def test_offloaded_weights_are_refused():
    model = tiny_model("llama")
    model.model.layers[1].to("meta")
    with pytest.raises(BackboneError, match=r"weights offloaded .*\. Load the model with fewer bits"):
        load_backbone(model)


def test_a_spread_model_is_not_gathered():
    model = tiny_model("llama")
    model.hf_device_map = {"model.layers.0": 0, "model.layers.1": 1}
    with pytest.raises(BackboneError) as caught:
        load_backbone(model, device="cpu")
    assert str(caught.value) == (
        "backbone.device: got 'cpu' for a model spread over 0, 1, expected no device, "
        "since its device map decides where each layer lies. Leave device out."
    )


def test_a_dispatched_model_gives_the_same_numbers():
    """accelerate's hooks on every module, as a device map puts them there."""
    from accelerate import dispatch_model

    plain = load_backbone(tiny_model("llama"))
    expected, theirs = results(plain, random_prefix(plain))
    model = tiny_model("llama")
    places = {"model.embed_tokens": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    places |= {f"model.layers.{i}": "cpu" for i in range(model.config.num_hidden_layers)}
    backbone = load_backbone(dispatch_model(model, places, force_hooks=True))
    losses, gradients = results(backbone, random_prefix(backbone))
    close(losses, expected)
    for a, b in zip(gradients, theirs, strict=True):
        close(a, b)
