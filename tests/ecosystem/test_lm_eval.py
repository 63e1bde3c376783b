"""lm-eval's HFLM over a PromptedModel: log-likelihoods and texts equal those taken by hand."""

import logging

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import softprompt
from softprompt import PromptedModel
from support.prompts import random_prefix, soft_tokens
from support.tokenizer import byte_level

pytest.importorskip("lm_eval")
# By their names, so that a type checker asks for nothing where the library is absent.
Instance = pytest.importorskip("lm_eval.api.instance").Instance
HFLM = pytest.importorskip("lm_eval.models.huggingface").HFLM

pytestmark = pytest.mark.filterwarnings("default")

PAIRS = [("The Mill serves", " food."), ("name : Blue", " Spice"), ("It is", " cheap and by the riverside")]


@pytest.fixture(scope="module")
def backbone():
    tokenizer = byte_level()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2, bos_token_id=1, eos_token_id=2,
        pad_token_id=0, max_position_embeddings=256,
    )  # fmt: skip
    return softprompt.load_backbone(LlamaForCausalLM(config), tokenizer)


def log_likelihood(backbone, prompt, context, continuation):
    tokenizer = backbone.tokenizer
    first = len(tokenizer(context)["input_ids"])
    whole = torch.tensor([tokenizer(context + continuation)["input_ids"]])
    with torch.no_grad(), backbone.prompted(prompt):
        logits = backbone.model(whole).logits.log_softmax(-1)
    return sum(logits[0, i - 1, whole[0, i]].item() for i in range(first, whole.shape[1]))


@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
def test_log_likelihoods_and_texts(backbone, kind):
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    prompt = kind(backbone)
    lm = HFLM(pretrained=PromptedModel(backbone, prompt), tokenizer=backbone.tokenizer, batch_size=2)
    asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(PAIRS)]
    found = [value for value, _ in lm.loglikelihood(asked, disable_tqdm=True)]
    expected = [log_likelihood(backbone, prompt, *pair) for pair in PAIRS]
    bare = [log_likelihood(backbone, None, *pair) for pair in PAIRS]
    assert found == pytest.approx(expected, abs=1e-4)
    assert max(abs(a - b) for a, b in zip(expected, bare, strict=True)) > 0.01

    options = {"until": ["</s>"], "max_gen_toks": 6, "do_sample": False}
    asked = [Instance("generate_until", {}, (context, options), i) for i, (context, _) in enumerate(PAIRS)]
    texts = lm.generate_until(asked, disable_tqdm=True)
    for (context, _), text in zip(PAIRS, texts, strict=True):
        inputs = backbone.tokenizer(context, return_tensors="pt")
        with backbone.prompted(prompt):
            whole = backbone.model.generate(**inputs, max_new_tokens=6, do_sample=False)[0]
        assert text == backbone.tokenizer.decode(
            whole[inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
