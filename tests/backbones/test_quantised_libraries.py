"""The libraries of quantised weights, where they are installed: bitsandbytes, torchao, optimum-quanto."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, TorchAoConfig

import softprompt
from softprompt.backbones.load import load_backbone
from softprompt.errors import BackboneError
from support.prompts import close, random_prefix, soft_tokens
from support.tiny import tiny_model
from support.tokenizer import byte_level
from zoo.causal import prefix_by_hand, soft_by_hand

TEXT = torch.tensor([7, 8, 9, 10, 11, 12, 13])


@pytest.fixture
def folder(tmp_path):
    """A Llama whose matrices are multiples of the blocks of 32 and 64 that the formats have."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = copy.deepcopy(tiny_model("llama").config)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "head_dim": 16}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**(config.to_diff_dict() | shape)))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    model.save_pretrained(tmp_path)
    byte_level().save_pretrained(tmp_path)
    return tmp_path


def _read(folder: Any, config: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, device_map="cpu")


def _bitsandbytes(**options: Any) -> Callable[[Any], Any]:
    def make(folder: Any) -> Any:
        pytest.importorskip("bitsandbytes")
        return _read(folder, BitsAndBytesConfig(**options))

    return make


def _torchao(kind: str, **options: Any) -> Callable[[Any], Any]:
    def make(folder: Any) -> Any:
        torchao = pytest.importorskip("torchao.quantization")
        return _read(folder, TorchAoConfig(getattr(torchao, kind)(**options)))

    return make


def _torchao_int4(folder: Any) -> Any:
    torchao = pytest.importorskip("torchao.quantization")
    model = AutoModelForCausalLM.from_pretrained(folder)
    types: Any = torch
    group = torchao.PerGroup(32)
    torchao.quantize_(model, torchao.IntxWeightOnlyConfig(weight_dtype=types.int4, granularity=group))
    return model


def _quanto(weights: str) -> Callable[[Any], Any]:
    def make(folder: Any) -> Any:
        quanto = pytest.importorskip("optimum.quanto")
        model = AutoModelForCausalLM.from_pretrained(folder)
        quanto.quantize(model, weights=getattr(quanto, weights), exclude="lm_head")
        quanto.freeze(model)
        return model

    return make


WAYS = {
    "bitsandbytes int8": _bitsandbytes(load_in_8bit=True),
    "bitsandbytes nf4": _bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "bitsandbytes nf4 twice": _bitsandbytes(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    ),
    "bitsandbytes fp4": _bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="fp4"),
    "torchao int8": _torchao("Int8WeightOnlyConfig"),
    "torchao int4": _torchao_int4,
    "quanto int8": _quanto("qint8"),
    "quanto int4": _quanto("qint4"),
    "quanto float8": _quanto("qfloat8"),
}


def deep_by_hand(model: Any, prompt: Any, ids: Tensor) -> Tensor:
    """P-Tuning v2 on a decoder is a prefix before every layer."""
    return prefix_by_hand(model, prompt, ids)


def _deep(backbone: Any) -> Any:
    return softprompt.p_tuning_v2(backbone, 4, seed=1)


METHODS: dict[str, tuple[Any, Any]] = {
    "soft tokens": (soft_tokens, soft_by_hand),
    "prefix": (random_prefix, prefix_by_hand),
    "deep prompts": (_deep, deep_by_hand),
}


SLOW = ("quanto int4", "quanto float8")
"""Of a library that the default run has: one kind is enough there."""


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.slow if way in SLOW else ()) for way in WAYS]
)
def test_prompts_equal_the_reference_on_the_same_quantised_model(folder, way, method):
    """Logits, the gradients of every trained tensor, cached against uncached, a padded row."""
    model = WAYS[way](folder)
    backbone = load_backbone(model)
    assert backbone.map.quantised, "the model is quantised"
    make, by_hand = METHODS[method]
    prompt = make(backbone)

    def gradients(logits: Tensor) -> tuple[Tensor, ...]:
        loss = logits.float().log_softmax(-1)[:, 7].mean()
        return torch.autograd.grad(loss, [p for p in prompt.parameters() if p.requires_grad])

    expected, theirs = by_hand(model, prompt, TEXT), gradients(by_hand(model, prompt, TEXT))
    with backbone.prompted(prompt):
        came = model(input_ids=TEXT[None], use_cache=False).logits[0]
        ours = gradients(came)
    close(came, expected, 2e-4)
    for one, other in zip(ours, theirs, strict=True):
        assert other.abs().max() > 0
        close(one, other, 1e-3 * float(other.abs().max()))
    # A trained prompt differs from an untrained one by more than rounding.
    assert (came - model(input_ids=TEXT[None], use_cache=False).logits[0]).abs().max() > 1e-3
    if way == "bitsandbytes int8":
        return  # rounds a row's inputs by what else is in the batch, also without a prompt
    with torch.no_grad(), backbone.prompted(prompt):
        ids = torch.cat([torch.zeros(3, dtype=torch.long), TEXT])[None]
        mask = (torch.arange(10) >= 3).long()[None]
        close(model(input_ids=ids, attention_mask=mask).logits[0, 3:], expected, 2e-4)
        options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
        cached = model.generate(input_ids=TEXT[None], use_cache=True, **options)
        assert torch.equal(cached, model.generate(input_ids=TEXT[None], use_cache=False, **options))


@pytest.mark.parametrize("make", [random_prefix, soft_tokens])
def test_inputs_rounded_to_eight_bits_have_no_backward_pass(folder, make):
    """torchao's dynamic kind: what is not trained runs, what would be trained is refused."""
    model = _torchao("Int8DynamicActivationInt8WeightConfig")(folder)
    backbone = load_backbone(model)
    prompt = make(backbone)
    with torch.no_grad(), backbone.prompted(prompt):
        assert model(input_ids=TEXT[None]).logits.isfinite().all()
    with backbone.prompted(prompt), pytest.raises(BackboneError, match=r"quantised layers .* gradient on"):
        model(input_ids=TEXT[None], labels=TEXT[None])


@pytest.mark.parametrize("bits", [8, 4])
def test_a_saved_bitsandbytes_checkpoint_loads_by_name(folder, tmp_path_factory, bits):
    model = WAYS["bitsandbytes int8" if bits == 8 else "bitsandbytes nf4"](folder)
    saved = tmp_path_factory.mktemp("saved")
    model.save_pretrained(saved)
    byte_level().save_pretrained(saved)
    backbone = load_backbone(saved)
    assert backbone.card.fingerprint == load_backbone(model).card.fingerprint
    assert backbone.map.quantised
    with torch.no_grad():
        ours = backbone.model(input_ids=TEXT[None]).logits
        close(ours, model(input_ids=TEXT[None]).logits, 1e-3)
    ids = TEXT[None]
    prompt = random_prefix(backbone)
    with backbone.prompted(prompt):
        backbone.model(input_ids=ids, labels=ids).loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in prompt.parameters())


@pytest.mark.parametrize("bits", [8, 4])
def test_plain_weights_that_claim_to_be_quantised_are_refused(folder, bits):
    import json

    pytest.importorskip("bitsandbytes")
    path = folder / "config.json"
    settings = {"quant_method": "bitsandbytes", f"load_in_{bits}bit": True}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": settings}))
    with pytest.raises(BackboneError, match=r"said to be quantised \(bitsandbytes\) and cannot"):
        load_backbone(folder)
