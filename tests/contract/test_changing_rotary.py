"""Rotary tables that change beyond a length: as by hand where one table serves all, else refused."""

import pytest
import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
)

import softprompt
from softprompt.errors import BackboneError
from softprompt.prompts.prompt import Prompt
from support.prompts import close, pad, random_prefix, soft_tokens
from support.tiny import ids

AT = 16
SHAPE = {
    "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip


def longrope() -> PreTrainedModel:
    scaling = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4, "factor": 8.0}
    scaling["rope_theta"] = 10000.0
    return _loud(
        Phi3ForCausalLM(Phi3Config(**SHAPE, rope_scaling=scaling, original_max_position_embeddings=AT))
    )


def dynamic() -> PreTrainedModel:
    scaling = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    return _loud(LlamaForCausalLM(LlamaConfig(**SHAPE, max_position_embeddings=AT, rope_scaling=scaling)))


def _loud(model: PreTrainedModel) -> PreTrainedModel:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15, generator=generator)
    return model.eval()


def by_hand(model: PreTrainedModel, prompt: Prompt | None, text: Tensor) -> Tensor:
    """Logits of one text behind a cache with the prompt's keys and values, or without one, `[seq, vocab]`."""
    cache = DynamicCache()
    for block in () if prompt is None else prompt():
        for layer, (keys, values) in enumerate(zip(block.keys, block.values, strict=True)):
            cache.update(keys[None], values[None], layer)
    past = cache.get_seq_length()
    mask = torch.ones(1, past + len(text), dtype=torch.long)
    positions = torch.arange(past, past + len(text))[None]
    return model(text[None], attention_mask=mask, position_ids=positions, past_key_values=cache).logits[0]


MODELS = pytest.mark.parametrize("make", [longrope, dynamic])


@MODELS
@pytest.mark.parametrize("length", [AT - 6, AT - 4, AT - 3, AT, AT + 4])
@torch.no_grad()
def test_a_prefix_before_one_text_is_the_cache_by_hand(make, length):
    backbone = softprompt.load_backbone(make())
    prefix, x = random_prefix(backbone, 4), ids(1, length)
    with backbone.prompted(prefix) as prompted:
        close(prompted(x).logits[0], by_hand(make(), prefix, x[0]))


@MODELS
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_rows_that_need_the_same_table_are_each_as_alone(make, side):
    backbone = softprompt.load_backbone(make())
    prompts = [random_prefix(backbone, 4), random_prefix(backbone, 2, seed=2), None]
    within = [ids(1, n, n)[0] for n in (AT - 4, 5, 9)]
    beyond = [ids(1, AT + n, n)[0] for n in (1, 3, 5)]  # each ends at the same position
    for rows in (within, beyond):
        with backbone.prompted(prompts) as prompted:
            came = prompted(**pad(rows, side)).logits
        for out, row, prompt in zip(came, rows, prompts, strict=True):
            own = out[-len(row) :] if side == "left" else out[: len(row)]
            close(own, by_hand(make(), prompt, row))


@MODELS
@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_that_need_different_tables_are_refused(make, side):
    backbone = softprompt.load_backbone(make())
    prefix, text = random_prefix(backbone, 4), ids(1, AT - 2)[0]
    message = r"rows that end at positions \d+ to \d+, which need different rotary tables"
    for prompts, rows in (([prefix, None], [text, text]), ([prefix, prefix], [text, text[:5]])):
        with backbone.prompted(prompts) as prompted, pytest.raises(BackboneError, match=message):
            prompted(**pad(rows, side))


@MODELS
@torch.no_grad()
def test_generation_over_the_change(make):
    backbone = softprompt.load_backbone(make())
    prefix, x = random_prefix(backbone, 4), ids(1, 8)
    options = {
        "do_sample": False,
        "eos_token_id": None,
        "return_dict_in_generate": True,
        "output_logits": True,
    }
    with backbone.prompted(prefix) as prompted:
        with pytest.raises(BackboneError, match="the cached keys would have the first"):
            prompted.generate(x, max_new_tokens=10, **options)
        first = prompted(x, use_cache=True)
        with pytest.raises(BackboneError, match="behind a cache whose keys have another rotary table"):
            prompted(ids(1, 6), past_key_values=first.past_key_values)
        ways = [
            prompted.generate(x, max_new_tokens=5, **options),
            prompted.generate(x, max_new_tokens=10, use_cache=False, **options),
        ]
    for came in ways:
        for step, logits in enumerate(came.logits):
            close(logits[0], by_hand(make(), prefix, came.sequences[0, : 8 + step])[-1])


@torch.no_grad()
def test_a_table_that_a_longer_call_left_behind():
    backbone = softprompt.load_backbone(dynamic())
    prefix, x = random_prefix(backbone, 4), ids(1, AT)
    with backbone.prompted(prefix) as prompted:
        prompted(ids(1, AT + 9))
        with pytest.raises(
            BackboneError, match="after a longer call, whose rotary table LlamaForCausalLM keeps"
        ):
            prompted(x)
        prompted(x[:, :5])
        close(prompted(x).logits[0], by_hand(dynamic(), prefix, x[0]))


@MODELS
def test_soft_tokens_beyond_the_change_are_refused(make):
    backbone = softprompt.load_backbone(make())
    with backbone.prompted(soft_tokens(backbone, 4)) as prompted:
        assert prompted(ids(1, AT - 4)).logits.isfinite().all()
        with pytest.raises(BackboneError, match="another rotary table"):
            prompted(ids(1, AT - 3))


@torch.no_grad()
def test_soft_tokens_that_are_columns_of_the_input():
    def make() -> PreTrainedModel:
        scaling = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
        kinds = ["conv", "full_attention"]
        config = Lfm2Config(**SHAPE, layer_types=kinds, max_position_embeddings=AT, rope_parameters=scaling)
        return _loud(Lfm2ForCausalLM(config))

    backbone = softprompt.load_backbone(make())
    soft, x = soft_tokens(backbone, 4), ids(1, AT - 2)
    plain = make()
    embeds = torch.cat([soft().vectors, plain.get_input_embeddings()(x[0])])[None]
    with backbone.prompted(soft) as prompted:
        close(prompted(x).logits[0], plain(inputs_embeds=embeds).logits[0, 4:])
        with pytest.raises(BackboneError, match="the cached keys would have the first"):
            prompted.generate(x[:, :8], max_new_tokens=9, do_sample=False)
    with backbone.prompted([soft, None]) as prompted, pytest.raises(BackboneError, match="different rotary"):
        prompted(x.expand(2, -1))
