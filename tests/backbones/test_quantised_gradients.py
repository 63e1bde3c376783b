"""Quantised layers without a backward pass, or with a wrong one, are found before a prompt is trained."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softprompt
from softprompt.backbones.load import load_backbone
from softprompt.errors import BackboneError
from support.int8 import quantise
from support.prompts import close, random_prefix, soft_tokens
from support.tiny import tiny_model


class ScaledGradient(torch.autograd.Function):
    """A product with a matrix whose gradient is multiplied by a number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, times: float) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.times = times
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (weight,) = ctx.saved_tensors
        return ctx.times * gradients[0] @ weight, None, None


class IntegerLinear(nn.Module):
    """A linear layer as GPTQ and AWQ have it: integers and scales in buffers, no parameters."""

    def __init__(self, linear: nn.Linear, backward: str):
        super().__init__()
        self.in_features, self.out_features, self.kind = linear.in_features, linear.out_features, backward
        scales = linear.weight.detach().abs().amax(1, keepdim=True) / 127
        self.register_buffer("qweight", (linear.weight.detach() / scales).round().to(torch.int32))
        self.register_buffer("scales", scales)
        self.packed = False

    def weight_meant(self) -> Tensor:
        return self.get_buffer("qweight") * self.get_buffer("scales")

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_meant()
        if self.kind == "packed for inference" and not (self.training or x.requires_grad):
            self.packed = True  # as bitsandbytes does with four bits on processors with AVX512-BF16
        if self.kind == "none" or self.packed:
            with torch.no_grad():
                return x @ weight.T
        if self.kind == "unknown":
            return _without_derivative(x, weight)
        return ScaledGradient.apply(x, weight, {"right": 1.0, "zero": 0.0, "half": 0.5}.get(self.kind, 1.0))  # type: ignore[return-value]


class _NoDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise NotImplementedError("derivative for aten::_int_mm is not implemented")


def _without_derivative(x: Tensor, weight: Tensor) -> Tensor:
    return _NoDerivative.apply(x, weight)  # type: ignore[return-value]


def model_with(backward: str, only: str = "") -> Any:
    model = tiny_model("llama")
    for layer in model.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, module in list(part.named_children()):
                if isinstance(module, nn.Linear) and only in name:
                    setattr(part, name, IntegerLinear(module, backward))
    return model


def loss_of(backbone: Any, prompt: Any) -> Tensor:
    ids = torch.tensor([[3, 4, 5, 6]])
    with backbone.prompted(prompt):
        return backbone.model(input_ids=ids, labels=ids).loss


FAULTS = {
    "none": "pass no gradient on",
    "zero": "pass a wrong gradient on",
    "half": "pass a wrong gradient on",
    "unknown": "have no backward pass (derivative for aten::_int_mm is not implemented)",
    "packed for inference": "pass no gradient on",
}


@pytest.mark.parametrize("make", [random_prefix, soft_tokens])
@pytest.mark.parametrize("backward", list(FAULTS))
def test_layers_that_pass_no_right_gradient_are_refused(backward, make):
    backbone = load_backbone(model_with(backward))
    with pytest.raises(BackboneError) as caught:
        loss_of(backbone, make(backbone))
    message = str(caught.value)
    assert message.startswith("prompted: got a pass that learns through quantised layers of ")
    assert f"that {FAULTS[backward]} (IntegerLinear, e.g. model.layers.0.self_attn.q_proj)" in message
    assert message.endswith("for a pass without training use torch.no_grad().")


def test_one_kind_of_layer_is_enough_to_be_refused():
    """Beside other layers a wrong gradient reaches the prompt all the same."""
    backbone = load_backbone(model_with("none", only="down_proj"))
    with pytest.raises(BackboneError, match=r"e\.g\. model\.layers\.0\.mlp\.down_proj"):
        loss_of(backbone, soft_tokens(backbone))


@pytest.mark.parametrize("make", [random_prefix, soft_tokens])
def test_labelled_losses_are_refused_too(make):
    """The way of the training loop, which never calls the whole model."""
    backbone = load_backbone(model_with("half"))
    ids = torch.tensor([[3, 4, 5, 6]])
    with backbone.prompted(make(backbone)), pytest.raises(BackboneError, match="pass a wrong gradient on"):
        backbone.labelled_losses({"input_ids": ids}, torch.ones_like(ids, dtype=torch.bool), ids.flatten())


def test_without_training_they_are_used():
    model = model_with("none")
    backbone = load_backbone(model)
    prompt, ids = soft_tokens(backbone), torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        vectors: Any = prompt()
        embeds = torch.cat([vectors.vectors[None], model.get_input_embeddings()(ids)], dim=1)
        expected = model(inputs_embeds=embeds).logits[:, -4:]
        with backbone.prompted(prompt):
            close(model(input_ids=ids).logits, expected)
    with backbone.prompted(prompt):
        assert model.generate(input_ids=ids, max_new_tokens=3, pad_token_id=0).shape[0] == 1
    for parameter in prompt.parameters():
        parameter.requires_grad_(False)
    assert loss_of(backbone, prompt).isfinite()


@pytest.mark.parametrize("make", [random_prefix, soft_tokens])
def test_right_ones_train(make):
    model = model_with("right")
    backbone = load_backbone(model)
    plain = tiny_model("llama")
    for path, module in model.named_modules():
        if isinstance(module, IntegerLinear):
            plain.get_submodule(path).weight = nn.Parameter(module.weight_meant())
    other = load_backbone(plain)
    both = []
    for one in (backbone, other):
        prompt = make(one)
        loss_of(one, prompt).backward()
        both.append([parameter.grad for parameter in prompt.parameters()])
    for ours, theirs in zip(*both, strict=True):
        assert theirs.abs().max() > 0
        close(ours, theirs)


class RoundingLinear(IntegerLinear):
    """A linear layer that rounds its inputs to eight bits too, as LLM.int8 does."""

    def forward(self, x: Tensor) -> Tensor:
        scales = x.detach().abs().amax(-1, keepdim=True).clamp(min=1e-9) / 127
        return super().forward(x + ((x / scales).round() * scales - x).detach())


@pytest.mark.parametrize("seed", range(3))
def test_layers_that_round_their_inputs_get_soft_tokens_in_the_same_computation(seed):
    """Computed apart, soft tokens and text would differ by as much as the rounding is coarse."""
    model: Any = tiny_model("llama", seed)
    for layer in model.model.layers:
        layer.mlp.up_proj = RoundingLinear(layer.mlp.up_proj, "right")
    backbone = load_backbone(model)
    prompt, ids = soft_tokens(backbone), torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        vectors: Any = prompt()
        embeds = torch.cat([vectors.vectors[None], model.get_input_embeddings()(ids)], dim=1)
        expected = model(inputs_embeds=embeds).logits[:, -4:]
        with backbone.prompted(prompt):
            close(model(input_ids=ids).logits, expected)
        with (
            pytest.raises(BackboneError, match="different numbers of soft tokens"),
            backbone.prompted([prompt, None], rows=[0, 1]),
        ):
            model(input_ids=ids.repeat(2, 1))
    loss_of(backbone, prompt).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in prompt.parameters())


def test_random_numbers_of_the_user_are_not_touched():
    backbone = load_backbone(quantise(tiny_model("llama")))
    prompt = soft_tokens(backbone)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    loss_of(backbone, prompt)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("key", "value"), [("dtype", "float16"), ("device", "cpu")])
def test_integers_in_buffers_stay_as_they_are(key, value):
    with pytest.raises(BackboneError, match=rf"backbone\.{key}: got '{value}' for a quantised model"):
        load_backbone(model_with("right"), **{key: value})


def test_plain_models_have_no_quantised_layers():
    backbone = load_backbone(tiny_model("llama"))
    assert backbone.map.quantised == ()
    assert len(load_backbone(model_with("right")).map.quantised) > 6
    assert softprompt.load_backbone(quantise(tiny_model("llama"))).map.quantised != ()
