"""Rows with different prompts before recurrent layers go on from their cache as each row alone, by hand."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

import softprompt
from zoo import causal, outcomes
from zoo.causal import padded, rows_of_text, soft

TEXTS = rows_of_text()
N_NEW = 4
GREEDY: dict[str, Any] = {
    "max_new_tokens": N_NEW, "do_sample": False, "eos_token_id": None, "pad_token_id": 0,
    "output_logits": True, "return_dict_in_generate": True,
}  # fmt: skip


def in_front(model: Any, prompt: Any, text: Tensor) -> Tensor:
    """A prompt's vectors and a text's embeddings, `[1, seq, hidden]`."""
    words = model.get_input_embeddings()(text)
    return torch.cat([*([] if prompt is None else [prompt().vectors]), words])[None]


@pytest.mark.parametrize("family", ["mamba", "falcon_mamba", "mamba2"])
@torch.no_grad()
def test_mixed_rows_are_generated_and_decoded_by_hand_as_each_alone(family):
    model = outcomes.built(causal.KIND, family)
    plain = copy.deepcopy(model)
    backbone = softprompt.load_backbone(model)
    prompts = [soft(backbone), soft(backbone, 3, seed=2), None]
    ids, mask, _ = padded(TEXTS, "left")
    wanted = []
    for prompt, text in zip(prompts, TEXTS, strict=True):
        embeds = in_front(plain, prompt, text)
        own = plain.generate(inputs_embeds=embeds, attention_mask=torch.ones(embeds.shape[:2]), **GREEDY)
        wanted.append(torch.cat(own.logits))
    expected = torch.stack(wanted)
    with backbone.prompted(prompts, rows=[0, 1, 2]):
        came = torch.stack(model.generate(ids, attention_mask=mask, **GREEDY).logits, dim=1)
    torch.testing.assert_close(came, expected, atol=1e-4, rtol=1e-4)

    def whole(step: int) -> Tensor:
        return torch.cat([mask, mask.new_ones(len(mask), step)], dim=1)

    def own_token(step: int) -> Tensor:
        return mask.new_ones(len(mask), 1)

    def nothing(step: int) -> None:
        return None

    for mask_of in (whole, own_token, nothing):
        with backbone.prompted(prompts, rows=[0, 1, 2]):
            output = model(input_ids=ids, attention_mask=mask, use_cache=True)
            came = [output.logits[:, -1]]
            for step in range(1, N_NEW):
                word = expected[:, step - 1].argmax(-1, keepdim=True)
                output = model(
                    input_ids=word,
                    attention_mask=mask_of(step),
                    cache_params=output.cache_params,
                    use_cache=True,
                )
                came.append(output.logits[:, -1])
        torch.testing.assert_close(torch.stack(came, dim=1), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["qwen3_next", "recurrent_gemma", "lfm2"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_in_half_precision_recurrent_layers_and_convolutions_read_soft_tokens_too(family, dtype):
    # Of plainly initialised weights, whose states carry less than two computations in half precision differ.
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(outcomes.built(causal.KIND, family).config).eval().to(dtype)
    plain = copy.deepcopy(model).float()
    backbone = softprompt.load_backbone(model)
    prompt, text = softprompt.prompt_tuning(backbone, 4, initialization="vocabulary"), TEXTS[0]
    embeds = in_front(plain, prompt, text)
    expected = plain(inputs_embeds=embeds, use_cache=False).logits[:, -len(text) :]
    by_hand = model(inputs_embeds=embeds.to(dtype), use_cache=False).logits[:, -len(text) :]
    with backbone.prompted(prompt):
        came = model(input_ids=text[None], use_cache=False).logits
    rounding = float((by_hand - expected).norm())
    assert float((came - expected).norm()) <= 1.5 * rounding
