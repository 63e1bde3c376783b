"""A request's vectors, read by the bare model as an engine does, give what the prompt gives."""

import base64
import io

import pytest
import torch

import softprompt
from softprompt import vllm
from support.prompts import random_prefix, soft_tokens
from support.questions import reader
from support.reading import llama
from support.tiny import tiny_backbone


def vectors(encoded):
    return torch.load(io.BytesIO(base64.b64decode(encoded)), weights_only=True)


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma3"])
def test_the_vectors_are_the_prompt_and_the_text(family):
    backbone = tiny_backbone(family)
    prompt, ids = soft_tokens(backbone), [5, 6, 7]
    sent = vectors(vllm.prompt_embeds(prompt, ids))
    assert sent.dtype == backbone.dtype and sent.shape == (6, 32)
    with torch.no_grad():
        engine = backbone.model(inputs_embeds=sent[None]).logits[:, 3:]
        with backbone.prompted(prompt):
            here = backbone.model(input_ids=torch.tensor([ids])).logits
    torch.testing.assert_close(engine, here, atol=1e-5, rtol=0)


def test_a_request_writes_what_generate_writes():
    backbone = llama()
    prompt = soft_tokens(backbone).describe(
        task={"name": "generation", "separator": " sep "}, training={"decoding": {"max_new_tokens": 6}}
    )
    (expected,) = prompt.generate(["the mill"], decoding={"strategy": "greedy"})
    body = vllm.request(prompt, "the mill", model="served", seed=1)
    assert (body["model"], body["temperature"], body["seed"], body["max_tokens"]) == ("served", 0, 1, 6)
    sent, written = vectors(body["prompt_embeds"])[None], []
    with torch.no_grad():
        for _ in range(body["max_tokens"]):  # an engine, by hand
            token = backbone.model(inputs_embeds=sent).logits[0, -1].argmax()
            if token.item() in body["stop_token_ids"]:
                break
            written.append(token.item())
            sent = torch.cat([sent, backbone.model.get_input_embeddings()(token)[None, None]], 1)
    assert str(backbone.tokenizer.decode(written, skip_special_tokens=True)).strip() == expected.strip()


def test_a_text_of_a_prompt_of_another_library_is_what_the_tokenizer_makes_of_it():
    backbone = llama()
    prompt = soft_tokens(backbone)
    ids = backbone.tokenizer("the mill")["input_ids"]
    assert vllm.prompt_embeds(prompt, "the mill") == vllm.prompt_embeds(prompt, ids)
    assert vllm.request(prompt, "the mill").keys() == {"model", "prompt_embeds", "temperature"}


def _labelled(backbone):
    return soft_tokens(backbone).describe(task={"name": "classification", "labels": ["a", "b"]})


@pytest.mark.parametrize(
    ("make", "said"),
    [(random_prefix, "keys and values before every layer"),
     (lambda b: softprompt.prompt_tuning(b, 3, positions="unshifted"), "start at 0"),
     (lambda b: softprompt.lora(b), "without vectors")],
)  # fmt: skip
def test_what_a_request_cannot_say(make, said):
    with pytest.raises(softprompt.PromptError) as caught:
        vllm.prompt_embeds(make(tiny_backbone("llama")), [5])
    assert said in str(caught.value)


def test_a_text_without_tokens():
    with pytest.raises(softprompt.PromptError, match="no tokens"):
        vllm.request(soft_tokens(llama()), [])


def test_an_encoder_is_not_served():
    with pytest.raises(softprompt.PromptError, match="no decoder alone"):
        vllm.prompt_embeds(softprompt.prompt_tuning(reader("bert"), 2, positions="shifted"), [5])
