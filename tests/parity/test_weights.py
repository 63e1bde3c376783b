"""Trained tensors in place of the backbone's own: there while the prompt is active, exactly gone after."""

import copy
from typing import Any

import pytest
import torch

import softprompt
from softprompt.errors import PromptError
from support.prompts import bare_prompt, close, inputs_for, random_prefix
from support.tiny import ids, tiny_backbone, tiny_model

FAMILIES = pytest.mark.parametrize("family", ["bert", "albert", "deberta_v2", "gpt2", "t5", "llama"])


def tuned(backbone, names=None, seed=3):
    """A prompt whose weights are the backbone's own with some noise."""
    own = dict(backbone.model.named_parameters())
    generator = torch.Generator().manual_seed(seed)
    return bare_prompt(
        backbone,
        {
            name: own[name].float() + 0.1 * torch.randn(own[name].shape, generator=generator)
            for name in (names or own)
        },
    )


@FAMILIES
def test_the_model_runs_as_though_it_had_them(family):
    backbone = tiny_backbone(family)
    prompt, inputs = tuned(backbone), inputs_for(backbone)
    bare = backbone.model(**inputs)[0]
    parameters = dict(backbone.model.named_parameters())
    attributes = {m: set(vars(m)) for m in backbone.model.modules()}
    other = copy.deepcopy(backbone.model)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(prompt.weights[name])
    with backbone.prompted(prompt):
        close(backbone.model(**inputs)[0], other(**inputs)[0])
    assert torch.equal(backbone.model(**inputs)[0], bare)
    with pytest.raises(PromptError), backbone.prompted([prompt, prompt]):
        backbone.active_rows(3)  # leaving by an error
    assert torch.equal(backbone.model(**inputs)[0], bare)
    assert {m: set(vars(m)) for m in backbone.model.modules()} == attributes
    now = dict(backbone.model.named_parameters())
    assert now.keys() == parameters.keys()
    assert all(now[name] is parameters[name] for name in now)


@FAMILIES
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_those_of_the_model_itself(family, checkpointing):
    if checkpointing and family == "albert":
        pytest.skip("its layers have no gradient checkpointing")
    backbone = tiny_backbone(family)
    prompt = tuned(backbone)
    other = copy.deepcopy(backbone.model).requires_grad_(True)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(prompt.weights[name])
    with backbone.training_mode(gradient_checkpointing=checkpointing), backbone.prompted(prompt):
        losses = [backbone.model(**inputs_for(backbone, seed=s))[0].square().mean() for s in (0, 1)]
        for loss in losses:
            loss.backward()
    for s in (0, 1):
        other(**inputs_for(backbone, seed=s))[0].square().mean().backward()
    theirs = {name: parameter.grad for name, parameter in other.named_parameters()}
    ours = {name: weight.grad for name, weight in prompt.weights.items()}
    assert sum(grad is not None and bool(grad.abs().max() > 0) for grad in theirs.values()) > 10
    for name, grad in theirs.items():
        assert (grad is None) == (ours[name] is None)
        if grad is not None:
            close(ours[name], grad)
    assert all(p.grad is None and not p.requires_grad for p in backbone.model.parameters())


def test_a_shared_parameter_is_replaced_everywhere():
    backbone = tiny_backbone("gpt2")
    model: Any = backbone.model
    assert model.lm_head.weight is model.transformer.wte.weight
    prompt = tuned(backbone, ["transformer.wte.weight"])
    seen: list[Any] = []
    with backbone.prompted(prompt):
        handle = model.lm_head.register_forward_hook(
            lambda module, *_: seen.append((module.weight, model.transformer.wte.weight))
        )
        model(input_ids=ids(1, 3))
        handle.remove()
        ((head, words),) = seen
        assert head is words
        assert torch.equal(head, prompt.weights["transformer.wte.weight"])
    assert isinstance(model.lm_head.weight, torch.nn.Parameter)
    assert model.lm_head.weight is model.transformer.wte.weight


def test_float32_weights_on_a_bfloat16_backbone():
    backbone = softprompt.load_backbone(tiny_model("bert"), dtype="bfloat16")
    prompt, x = tuned(backbone), ids(2, 5)
    assert all(weight.dtype == torch.float32 for weight in prompt.weights.values())
    with backbone.prompted(prompt):
        states = backbone.read({"input_ids": x})
        assert states.dtype == torch.bfloat16
        states.float().square().mean().backward()
        assert prompt.weights["encoder.layer.0.attention.self.query.weight"].grad.dtype == torch.float32
        with torch.no_grad():  # a step of the optimizer is seen in the next pass
            for weight in prompt.parameters():
                weight.add_(0.5)
        assert not torch.equal(backbone.read({"input_ids": x}), states)


def test_a_batch_of_others_is_refused():
    backbone = tiny_backbone("bert")
    model: Any = backbone.model
    prompt, prefix = tuned(backbone, ["pooler.dense.bias"]), random_prefix(backbone)
    for beside in (None, prefix, tuned(backbone)):
        with (
            pytest.raises(PromptError, match=r"a prompt with weights of its own .* beside others"),
            backbone.prompted([prompt, beside]),
        ):
            pass
    with backbone.prompted([prompt, prefix], rows=[1, 1]):  # no row has them: they are not there
        assert isinstance(model.pooler.dense.bias, torch.nn.Parameter)
    seen: list[Any] = []
    with backbone.prompted([prompt, prefix, prompt], rows=[0, 2, 0]):
        handle = model.pooler.register_forward_hook(lambda *_: seen.append(model.pooler.dense.bias))
        backbone.read({"input_ids": ids(3, 4)})
        handle.remove()
    assert torch.equal(seen[0], prompt.weights["pooler.dense.bias"])
    assert isinstance(model.pooler.dense.bias, torch.nn.Parameter)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("nowhere.weight", (2, 2), r"prompt\.weights: got 'nowhere\.weight', expected names of parameters"),
        (
            "pooler.dense.bias",
            (31,),
            r"prompt\.weights: pooler\.dense\.bias: got shape \[31\], expected shape \[32\]",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(name, shape, message):
    backbone = tiny_backbone("bert")
    prompt = bare_prompt(backbone, {name: torch.zeros(shape)})
    with pytest.raises(PromptError, match=message), backbone.prompted(prompt):
        pass
    with backbone.prompted(None):  # and the refusal left nothing behind
        pass


def test_poolers_are_no_part_of_the_fingerprint():
    model: Any = tiny_model("bert")
    before = softprompt.load_backbone(model).spec.fingerprint
    with torch.no_grad():
        model.pooler.dense.weight.add_(1)
    assert softprompt.load_backbone(model).spec.fingerprint == before
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.add_(1)
    assert softprompt.load_backbone(model).spec.fingerprint != before


@pytest.mark.parametrize("family", ["llama", "t5", "bert"])
def test_biases_that_are_not_there_begin_at_zero_and_are_gone_after(family):
    backbone = tiny_backbone(family)
    prompt, inputs = softprompt.fine_tuning(backbone, tune="biases"), inputs_for(backbone)
    linear = {name: m for name, m in backbone.model.named_modules() if isinstance(m, torch.nn.Linear)}
    absent = {f"{name}.bias" for name, m in linear.items() if m.bias is None}
    assert absent <= set(prompt.weights) and bool(absent) == (family != "bert")
    bare = backbone.model(**inputs)[0]
    with backbone.prompted(prompt):
        assert torch.equal(backbone.model(**inputs)[0], bare)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    other = copy.deepcopy(backbone.model)
    for name, weight in prompt.weights.items():
        path, _, attribute = name.rpartition(".")
        setattr(other.get_submodule(path), attribute, torch.nn.Parameter(weight.detach().clone()))
    with backbone.prompted(prompt):
        close(backbone.model(**inputs)[0], other(**inputs)[0])
        backbone.model(**inputs)[0].square().sum().backward()
    reached = [name for name, weight in prompt.weights.items() if weight.grad is not None]
    assert len(reached) >= len(prompt.weights) - 1  # BERT's pooler is not asked
    assert torch.equal(backbone.model(**inputs)[0], bare)
    assert all("bias" not in vars(module) for module in linear.values())
