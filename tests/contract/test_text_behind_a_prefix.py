"""A text behind a prefix reads nothing else: no earlier text, no padding, no sum of other tokens."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import (
    DeepseekV4Config,
    DeepseekV4ForCausalLM,
    DynamicCache,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    GemmaConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PreTrainedModel,
    RecurrentGemmaConfig,
    RecurrentGemmaForCausalLM,
    SiglipVisionConfig,
)

import softprompt
from softprompt.errors import BackboneError
from softprompt.prompts.prompt import Prompt
from support.prompts import close, random_prefix, soft_tokens
from support.tiny import ROPE, ids


def drawn(model: PreTrainedModel) -> PreTrainedModel:
    """Weights large enough for every part to matter."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.4 if "conv" in name else 0.15)
    return model.eval()


def recurrent() -> PreTrainedModel:
    torch.manual_seed(0)
    shape = {k: v for k, v in ROPE.items() if k not in ("num_key_value_heads", "max_position_embeddings")}
    config = RecurrentGemmaConfig(**shape, lru_width=32, attention_window_size=64)
    return drawn(RecurrentGemmaForCausalLM(config))


def steps_by_hand(prefix: Prompt, text: Tensor) -> Tensor:
    """Logits of a text's last tokens, one pass each, behind the prefix in a cache, `[1, seq, vocab]`."""
    model = recurrent()
    cache = DynamicCache(config=model.config)
    blocks = prefix()
    assert isinstance(blocks, tuple)
    for block in blocks:
        for i, layer in enumerate(block.layers):
            cache.update(block.keys[i][None], block.values[i][None], layer)
    logits, n_seen = [], prefix.length
    for words in (text[:, :4], text[:, 4:5], text[:, 5:6]):
        end = n_seen + words.shape[1]
        output = model(
            input_ids=words,
            past_key_values=cache,
            use_cache=True,
            position_ids=torch.arange(n_seen, end)[None],
            attention_mask=torch.ones(1, end, dtype=torch.long),
        )
        logits.append(output.logits[:, -1])
        n_seen = end
    return torch.stack(logits, dim=1)


def test_the_states_of_an_earlier_text_do_not_enter():
    backbone = softprompt.load_backbone(recurrent())
    prefix, text, other = random_prefix(backbone), ids(1, 6), ids(1, 6, 3)
    with torch.no_grad():
        wanted = steps_by_hand(prefix, text)
        with backbone.prompted(prefix) as prompted:
            # A caller's own cache, as generate gives it: the model itself begins nothing anew then.
            caches = [DynamicCache(config=backbone.model.config) for _ in range(2)]
            came = []
            for part in (slice(0, 4), slice(4, 5), slice(5, 6)):
                came.append(prompted(text[:, part], past_key_values=caches[0], use_cache=True).logits[:, -1])
                prompted(other[:, part], past_key_values=caches[1], use_cache=True)
            alike = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
            kept = prompted.generate(text, use_cache=True, **alike)
            again = prompted.generate(text, use_cache=False, **alike)
    close(torch.stack(came, dim=1), wanted)
    assert torch.equal(kept, again)


def test_keys_that_sum_up_tokens_are_no_prefix():
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    shape = {**ROPE, "num_hidden_layers": 4, "num_key_value_heads": 1, "head_dim": 8}
    heads = {"q_lora_rank": 16, "qk_rope_head_dim": 4, "index_n_heads": 2, "index_head_dim": 8}
    config = DeepseekV4Config(**shape, **experts, **heads)
    backbone = softprompt.load_backbone(drawn(DeepseekV4ForCausalLM(config)))
    prefix = random_prefix(backbone)
    with pytest.raises(BackboneError, match="sum up several tokens"), backbone.prompted(prefix):
        pass


def gemma() -> PreTrainedModel:
    torch.manual_seed(0)
    config = Gemma4TextConfig(
        **{**ROPE, "num_hidden_layers": 2},
        head_dim=8,
        global_head_dim=8,
        hidden_size_per_layer_input=8,
        vocab_size_per_layer_input=64,
        layer_types=["sliding_attention", "full_attention"],
        num_kv_shared_layers=0,
    )
    whole = Gemma4Config(text_config=config, image_token_id=60, video_token_id=61, audio_token_id=62)
    return drawn(Gemma4ForConditionalGeneration(whole))


def pali() -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    vision = SiglipVisionConfig(**sizes, image_size=16, patch_size=8, projection_dim=32)
    text = GemmaConfig(**ROPE, head_dim=8)
    config = PaliGemmaConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), image_token_index=60, projection_dim=32
    )
    return drawn(PaliGemmaForConditionalGeneration(config))


@pytest.mark.parametrize(
    ("family", "make"), [(gemma, random_prefix), (gemma, soft_tokens), (pali, random_prefix)]
)
def test_padding_that_a_model_around_the_backbone_numbers(
    family: Callable[[], PreTrainedModel], make: Callable[..., Prompt]
):
    """It numbers columns, and the prompt would stand as far from a row's text as its padding is long."""
    model = family()
    text = ids(1, 5)
    padded = torch.nn.functional.pad(text, (3, 0))
    mask = torch.nn.functional.pad(torch.ones_like(text), (3, 0))
    counted = (mask.cumsum(-1) - 1).clamp(min=0)
    kinds = {"token_type_ids": torch.zeros_like(padded)} if family is pali else {}
    alone = {"token_type_ids": torch.zeros_like(text)} if family is pali else {}
    backbone = softprompt.load_backbone(model.model.language_model)
    with torch.no_grad(), backbone.prompted(make(backbone)):
        given = {"input_ids": padded, "attention_mask": mask, **kinds}
        with pytest.raises(BackboneError, match="Load the whole model as the backbone"):
            model(**given)
        wanted = model(input_ids=text, position_ids=torch.arange(5)[None], **alone).logits
        close(model(**given, position_ids=counted).logits[:, 3:], wanted)
    whole = softprompt.load_backbone(model)
    with torch.no_grad(), whole.prompted(make(whole)):
        close(model(**given).logits[:, 3:], model(input_ids=text, **alone).logits)
