"""Soft tokens go through a decoder's layers before any text; where that is not the same, they are refused."""

import copy

import pytest
import torch
from transformers import (
    GemmaConfig,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    RecurrentGemmaConfig,
    RecurrentGemmaForCausalLM,
    SiglipVisionConfig,
)

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.errors import BackboneError
from support.prompts import close, random_prefix, soft_tokens
from support.references import logits_by_hand
from support.tiny import DECODERS, ROPE, ids, tiny_backbone, tiny_model

SWITCHES_AT = 16


def random_weights(model: PreTrainedModel) -> PreTrainedModel:
    """Weights large enough for every part to matter."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "A_log" not in name:
                parameter.normal_(0, 0.4 if "conv" in name else 0.15)
    return model.eval()


def convolving() -> PreTrainedModel:
    kinds = ["conv", "full_attention", "full_attention"]
    return random_weights(Lfm2ForCausalLM(Lfm2Config(**ROPE, layer_types=kinds)))


def recurrent() -> PreTrainedModel:
    shape = {k: v for k, v in ROPE.items() if k not in ("num_key_value_heads", "max_position_embeddings")}
    config = RecurrentGemmaConfig(**shape, lru_width=32, attention_window_size=64)
    return random_weights(RecurrentGemmaForCausalLM(config))


def picture_text() -> PreTrainedModel:
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    config = Qwen2VLConfig(
        text_config={**ROPE, "rope_scaling": rope},
        vision_config={
            "depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2, "patch_size": 8,
            "spatial_merge_size": 1, "temporal_patch_size": 1, "in_channels": 3,
        },
        image_token_id=60, video_token_id=61, vision_start_token_id=62, vision_end_token_id=63,
    )  # fmt: skip
    return random_weights(Qwen2VLForConditionalGeneration(config))


def dynamic() -> PreTrainedModel:
    scaling = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    shape = {**ROPE, "max_position_embeddings": SWITCHES_AT}
    return random_weights(LlamaForCausalLM(LlamaConfig(**shape, rope_scaling=scaling)))


def long() -> PreTrainedModel:
    scaling = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4}
    scaling |= {"rope_theta": 10000.0, "factor": 8.0}
    config = Phi3Config(**ROPE, rope_scaling=scaling, original_max_position_embeddings=SWITCHES_AT)
    return random_weights(Phi3ForCausalLM(config))


@pytest.mark.parametrize("make", [convolving, recurrent])
def test_tokens_that_also_meet_outside_attention(make):
    """There soft tokens are columns of the input, which key/values would not be."""
    model = make()
    by_hand = copy.deepcopy(model)
    backbone = softprompt.load_backbone(model)
    prompt, prefix, x = soft_tokens(backbone), random_prefix(backbone), ids(2, 5)
    with torch.no_grad():
        expected = logits_by_hand(prompt, x, model=by_hand)
        with backbone.prompted(prompt) as prompted:
            close(prompted(x).logits, expected)
        with backbone.prompted(prefix) as prompted:
            behind_keys = prompted(x).logits
        with backbone.prompted([prefix, prompt], rows=[0, 1]) as prompted:
            mixed = prompted(x).logits
    close(mixed[0], behind_keys[0])
    close(mixed[1], expected[1])
    assert "forward" not in vars(backbone.model)


def pictured(seed: int, rows: int, columns: int) -> dict[str, torch.Tensor]:
    """A text with a picture of so many patches in it."""
    generator = torch.Generator().manual_seed(seed)
    text = [7, 8, 62, *[60] * (rows * columns), 63, 9, 10 + seed]
    x = torch.tensor([text])
    pixels = torch.randn(rows * columns, 3 * 8 * 8, generator=generator)
    grid = torch.tensor([[1, rows, columns]])
    types = (x == 60).long()
    return {"input_ids": x, "pixel_values": pixels, "image_grid_thw": grid, "mm_token_type_ids": types}


def test_nothing_that_a_model_keeps_of_earlier_calls_enters():
    backbone = softprompt.load_backbone(picture_text())
    model, prompt, x = backbone.model, soft_tokens(backbone), ids(1, 5)
    with torch.no_grad():
        model(**pictured(1, 2, 4))
        kept = model.model.rope_deltas
        with backbone.prompted(prompt) as prompted:
            output = prompted(x, use_cache=True)
            words = prompted(x[:, :1], past_key_values=output.past_key_values).logits
        close(output.logits, logits_by_hand(prompt, x, model=picture_text()))
        close(words[:, -1], logits_by_hand(prompt, torch.cat([x, x[:, :1]], 1), model=picture_text())[:, -1])
        model(**pictured(1, 2, 4))
        backbone.observe([7, 8, 9])
    assert torch.equal(model.model.rope_deltas, kept)


@pytest.mark.parametrize("make", [soft_tokens, random_prefix])
def test_a_cache_keeps_how_far_its_own_picture_has_moved_the_text(make):
    backbone = softprompt.load_backbone(picture_text())
    more = torch.tensor([[11]])
    with torch.no_grad(), backbone.prompted(make(backbone)) as prompted:
        wanted = prompted(
            **pictured(1, 2, 4)
            | {
                "input_ids": torch.cat([pictured(1, 2, 4)["input_ids"], more], 1),
                "mm_token_type_ids": torch.nn.functional.pad(pictured(1, 2, 4)["mm_token_type_ids"], (0, 1)),
            }
        ).logits[:, -1]
        first = prompted(**pictured(1, 2, 4), use_cache=True)
        prompted(**pictured(2, 4, 6), use_cache=True)
        prompted(ids(1, 5))
        came = prompted(more, past_key_values=first.past_key_values).logits[:, -1]
    close(came, wanted)


def test_a_model_that_changes_its_inputs_in_place():
    """Its soft tokens are a copy of the prompt's vectors, so that the prompt keeps its own."""
    backbone = tiny_backbone("llama")
    prompt, x = soft_tokens(backbone), ids(2, 5)
    before = {name: tensor.clone() for name, tensor in prompt.state_dict().items()}
    by_hand = tiny_model("llama")

    def scaling(stack):
        stock = stack.forward

        def forward(input_ids=None, inputs_embeds=None, **kwargs):
            embeds = stack.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
            return stock(inputs_embeds=embeds.mul_(2.0), **kwargs)

        return forward

    backbone.model.model.forward = scaling(backbone.model.model)
    by_hand.model.forward = scaling(by_hand.model)
    try:
        with torch.no_grad(), backbone.prompted(prompt) as prompted:
            close(prompted(x).logits, logits_by_hand(prompt, x, model=by_hand))
    finally:
        del backbone.model.model.forward
    assert all(torch.equal(tensor, before[name]) for name, tensor in prompt.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", DECODERS)
def test_rounding_is_no_reason(family, dtype):
    backbone = tiny_backbone(family)
    backbone.model.to(dtype)
    with torch.no_grad(), backbone.prompted(soft_tokens(backbone)) as prompted:
        assert prompted(ids(1, 4)).logits.isfinite().all()


def test_the_two_ways_are_compared_once():
    backbone = tiny_backbone("llama")
    passes: list[int] = []
    backbone.model.model.embed_tokens.register_forward_hook(lambda *_: passes.append(1))
    for expected in (3, 0, 0):  # the words of the size of random ones, and of both ways
        prompt = soft_tokens(backbone)
        passes.clear()
        with backbone.prompted(prompt):
            assert len(passes) == expected


@pytest.mark.parametrize("make", [dynamic, long])
def test_rotary_tables_that_switch_by_length(make):
    backbone: Backbone = softprompt.load_backbone(make())
    soft, prefix = soft_tokens(backbone, 4), random_prefix(backbone, 4)
    short, too_long = ids(1, SWITCHES_AT - 4), ids(1, SWITCHES_AT - 3)
    message = rf"at most {SWITCHES_AT} together: beyond that .* another rotary table"
    options = {"do_sample": False, "eos_token_id": None}
    with torch.no_grad(), backbone.prompted(soft) as prompted:
        close(prompted(short).logits, logits_by_hand(soft, short, model=make()))
        for call in (
            lambda: prompted(too_long),
            lambda: prompted.generate(short[:, :8], max_new_tokens=6, **options),
            lambda: prompted.generate(short, max_length=len(short[0]) + 2, **options),
        ):
            with pytest.raises(BackboneError, match=message):
                call()
        text = prompted.generate(short[:, :8], max_new_tokens=5, **options)
    for n in range(8, 13):
        nearest = logits_by_hand(soft, text[:, :n], model=make())[:, -1].argmax(-1)
        assert text[0, n] == nearest
    with torch.no_grad(), backbone.prompted(prefix) as prompted:  # its key/values are numbers like any others
        close(prompted(too_long).logits, logits_by_hand(prefix, too_long, model=make()))


def test_soft_tokens_before_a_text_that_is_read_both_ways_and_continued():
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, image_size=16,
        patch_size=8, vision_use_head=False,
    )  # fmt: skip
    shape = {**ROPE, "num_key_value_heads": 1, "head_dim": 8}
    config = PaliGemmaConfig(
        vision_config=vision, text_config=GemmaConfig(**shape), image_token_index=60, projection_dim=32,
        hidden_size=32,
    )  # fmt: skip
    backbone = softprompt.load_backbone(random_weights(PaliGemmaForConditionalGeneration(config)))
    x, prompt = ids(2, 5).clamp(3, 50), soft_tokens(backbone)
    types = torch.zeros_like(x)
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "token_type_ids": types}
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        cached = prompted.generate(x, **options)
        for step in range(1, 4):
            so_far = cached[:, : 5 + step]
            written = torch.nn.functional.pad(types, (0, step), value=1)
            assert torch.equal(
                prompted(so_far, token_type_ids=written).logits[:, -1].argmax(-1), cached[:, 5 + step]
            )


def test_learned_tables_end_and_rotary_ones_do_not():
    learned, rotary = tiny_backbone("gpt2"), tiny_backbone("llama")
    x = ids(1, 100)
    options = {"max_new_tokens": 30, "do_sample": False, "eos_token_id": None}
    for backbone in (learned, rotary):
        for prompt in (random_prefix(backbone, 4), soft_tokens(backbone, 4)):
            begun: list[int] = []
            handle = backbone.model.lm_head.register_forward_hook(lambda *_, begun=begun: begun.append(1))
            with torch.no_grad(), backbone.prompted(prompt) as prompted:
                if backbone is learned:
                    with pytest.raises(BackboneError, match=r"at most 128 tokens together"):
                        prompted.generate(x, **options)
                    assert not begun
                    text = prompted.generate(x, **{**options, "max_new_tokens": 25})
                    assert text.shape == (1, 125)
                    with pytest.raises(BackboneError, match=r"at most 128 tokens together"):
                        prompted(ids(1, 125))
                else:
                    assert prompted.generate(x, **options).shape == (1, 130)
            handle.remove()
