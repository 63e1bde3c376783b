"""transformers.pipeline over a PromptedModel writes what generate writes under the prompt, by hand."""

import logging
import threading

import pytest
from transformers import TextIteratorStreamer, pipeline

import softprompt
from softprompt import PromptedModel
from support.prompts import random_prefix, soft_tokens
from support.tiny import worded_llama
from support.tokenizer import byte_level

QUESTIONS = ["name : Blue", "The Mill serves food in the", "a"]


@pytest.fixture(scope="module")
def backbone():
    tokenizer = byte_level()
    tokenizer.padding_side = "left"
    return softprompt.load_backbone(worded_llama(tokenizer), tokenizer)


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


@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
def test_a_streamer_gives_the_text_as_it_is_written(backbone, kind):
    prompt, tokenizer = kind(backbone), backbone.tokenizer
    options = {"max_new_tokens": 6, "do_sample": False}
    inputs = tokenizer(QUESTIONS[0], return_tensors="pt")
    with backbone.prompted(prompt):
        whole = backbone.model.generate(**inputs, **options)[0]
    expected = tokenizer.decode(whole[inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=30, skip_special_tokens=True)
    model = PromptedModel(backbone, prompt)
    thread = threading.Thread(target=model.generate, kwargs={**inputs, **options, "streamer": streamer})
    thread.start()
    parts = list(streamer)
    thread.join()
    assert "".join(parts) == expected != ""
    assert len(parts) > 1
