"""A view runs under its session's prompts in every thread, for as long as its calls last."""

import threading
from typing import Any

import pytest
import torch
from transformers import LogitsProcessor, TextIteratorStreamer, pipeline

import softprompt
from softprompt.errors import BackboneError
from support.prompts import close
from support.references import generated_by_hand, logits_by_hand, make
from support.tiny import ids, tiny_backbone, worded_llama
from support.tokenizer import byte_level

OPTIONS: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}


class Waits(LogitsProcessor):
    """Says when generation has begun, and waits in its middle."""

    def __init__(self) -> None:
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.begun.set()
        assert self.may_go_on.wait(60)
        return scores


def worded() -> Any:
    """A tiny backbone with a tokenizer."""
    tokenizer = byte_level()
    return softprompt.load_backbone(worded_llama(tokenizer), tokenizer)


@pytest.mark.parametrize("method", ["prefix", "soft", "lora", "weights"])
def test_a_streamer_reads_what_another_thread_writes(method):
    backbone = worded()
    prompt = make(backbone, method)
    given = backbone.tokenizer("Blue Spice", return_tensors="pt")
    with backbone.prompted(prompt) as prompted:
        want = prompted.generate(**given, **OPTIONS)
        bare_or_other = backbone.tokenizer.decode(want[0, given["input_ids"].shape[1] :])
        streamer = TextIteratorStreamer(backbone.tokenizer, skip_prompt=True, timeout=60)
        thread = threading.Thread(target=prompted.generate, kwargs={**given, **OPTIONS, "streamer": streamer})
        thread.start()
        text = "".join(streamer)
        thread.join()
    assert text == bare_or_other
    assert text != backbone.tokenizer.decode(
        backbone.model.generate(**given, **OPTIONS)[0, given["input_ids"].shape[1] :]
    )


@pytest.mark.parametrize("method", ["prefix", "soft", "lora", "weights"])
def test_a_call_that_has_begun_keeps_its_prompt_when_the_block_is_left(method):
    backbone = tiny_backbone("llama")
    prompt, x, waits = make(backbone, method), ids(2, 5), Waits()
    out: list[Any] = []
    with backbone.prompted(prompt) as prompted:
        thread = threading.Thread(
            target=lambda: out.append(prompted.generate(x, **OPTIONS, logits_processor=[waits]))
        )
        thread.start()
        assert waits.begun.wait(60)
    waits.may_go_on.set()
    thread.join()
    assert torch.equal(out[0], generated_by_hand(prompt, x, 8))
    assert "forward" not in vars(backbone.model) and "generate" not in vars(backbone.model)
    with torch.no_grad():
        close(backbone.model(x).logits, logits_by_hand(None, x))


def test_a_closed_view_is_refused():
    backbone = tiny_backbone("llama")
    x = ids(1, 4)
    with backbone.prompted(make(backbone, "prefix")) as prompted:
        assert not prompted.closed
    assert prompted.closed
    message = r"a view whose `with backbone\.prompted\(\.\.\.\)` block has been left, .* Enter"
    for call in (
        lambda: prompted(x),
        lambda: prompted.generate(x),
        lambda: prompted.read({"input_ids": x}),
        lambda: prompted.run(backbone.model, x),
    ):
        with pytest.raises(BackboneError, match=message):
            call()


def test_a_view_reads_states_and_losses_in_another_thread():
    backbone = tiny_backbone("llama")
    given = {"input_ids": ids(2, 6), "attention_mask": torch.ones(2, 6, dtype=torch.long)}
    labelled, wanted = torch.ones(2, 6, dtype=torch.bool), ids(1, 12)[0]
    with torch.no_grad(), backbone.prompted(make(backbone, "soft")) as prompted:
        want = (
            backbone.read(given),
            backbone.labelled_logits(given, labelled),
            backbone.labelled_losses(given, labelled, wanted),
        )
        got: list[Any] = []

        def other() -> None:
            with torch.no_grad():
                got.append(prompted.read(given))
                got.append(prompted.labelled_logits(given, labelled))
                got.append(prompted.labelled_losses(given, labelled, wanted))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_run_takes_any_function_that_calls_the_model():
    backbone = worded()
    prompt = make(backbone, "prefix")
    writer = pipeline("text-generation", backbone.model, tokenizer=backbone.tokenizer)
    options = {"max_new_tokens": 8, "do_sample": False, "return_full_text": False}
    with backbone.prompted(prompt) as prompted:
        want = writer("Blue Spice", **options)
        got: list[Any] = []
        thread = threading.Thread(target=lambda: got.append(prompted.run(writer, "Blue Spice", **options)))
        thread.start()
        thread.join()
        given = backbone.tokenizer("Blue Spice", return_tensors="pt")
        text = prompted.generate(**given, max_new_tokens=8, do_sample=False)
    assert got == [want]
    written = backbone.tokenizer.decode(text[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
    assert want[0]["generated_text"] == written


def test_a_layer_called_alone_through_a_view_is_refused():
    backbone = tiny_backbone("llama")
    layer = backbone.model.model.layers[0]
    hidden = torch.randn(1, 3, 32)
    places = backbone.model.model.rotary_emb(hidden, torch.arange(3)[None])
    refused: list[Any] = []
    with backbone.prompted(make(backbone, "prefix")) as prompted:

        def other() -> None:
            with pytest.raises(BackboneError, match=r"a call of a layer .* on its own"):
                prompted.run(layer, hidden, position_embeddings=places)
            refused.append(True)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert refused
