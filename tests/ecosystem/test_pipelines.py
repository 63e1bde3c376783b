"""transformers.pipeline over a PromptedModel writes what generate writes under the prompt, by hand."""

import logging

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import softprompt
from softprompt import PromptedModel
from support.prompts import random_prefix, soft_tokens
from support.tokenizer import byte_level

pytest.importorskip("transformers")
from transformers import pipeline

QUESTIONS = ["name : Blue", "The Mill serves food in the", "a"]


@pytest.fixture(scope="module")
def backbone():
    tokenizer = byte_level()
    tokenizer.padding_side = "left"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    return softprompt.load_backbone(LlamaForCausalLM(config), tokenizer)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
@pytest.mark.parametrize("size", [1, 3])
def test_text_generation(backbone, kind, size, caplog):
    prompt, tokenizer = kind(backbone), backbone.tokenizer
    options = {"max_new_tokens": 6, "do_sample": False}
    written = {}
    for one in (prompt, None):
        texts = []
        for question in QUESTIONS:
            inputs = tokenizer(question, return_tensors="pt")
            with backbone.prompted(one):
                whole = backbone.model.generate(**inputs, **options)[0]
            texts.append(tokenizer.decode(whole[inputs["input_ids"].shape[1] :], skip_special_tokens=True))
        written[one] = texts
    assert written[prompt] != written[None]
    with caplog.at_level(logging.ERROR):
        generator = pipeline("text-generation", model=PromptedModel(backbone, prompt), tokenizer=tokenizer)
    assert not caplog.records
    answers = generator(QUESTIONS, batch_size=size, return_full_text=False, **options)
    assert [answer[0]["generated_text"] for answer in answers] == written[prompt]
