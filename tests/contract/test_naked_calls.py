"""A call that says nothing of prompts, while some other thread or task has a session, is refused."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
import torch
from transformers import TextIteratorStreamer

from softprompt.errors import BackboneError
from support.prompts import close
from support.references import logits_by_hand, make
from support.tiny import ids, tiny_backbone
from support.tokenizer import byte_level

BOTH_WAYS = r"a call of .* from a thread \(or task\) without a session .*prompted\.generate.*prompted\(None\)"


def elsewhere(function: Callable[[], Any]) -> Any:
    """What a function gives in a thread of its own, or its error."""
    out: list[Any] = []

    def run() -> None:
        try:
            out.append(function())
        except BaseException as error:
            out.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    return out[0]


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m(x),
        lambda m, x: m.forward(x),
        lambda m, x: m.model(x),
        lambda m, x: m.base_model.forward(input_ids=x),
        lambda m, x: m.generate(x, max_new_tokens=2),
    ],
    ids=["call", "forward", "base", "base.forward", "generate"],
)
def test_a_naked_call_of_another_thread_is_refused(call):
    backbone = tiny_backbone("llama")
    x = ids(1, 4)
    with backbone.prompted(make(backbone, "prefix")):
        error = elsewhere(lambda: call(backbone.model, x))
    assert isinstance(error, BackboneError)
    with pytest.raises(BackboneError, match=BOTH_WAYS):
        raise error
    assert not isinstance(elsewhere(lambda: call(backbone.model, x)), BaseException)


@pytest.mark.parametrize("call", ["read", "labelled_logits"])
def test_a_naked_call_of_the_backbone_is_refused_too(call):
    backbone = tiny_backbone("llama")
    given = {"input_ids": ids(1, 4)}
    more = () if call == "read" else (torch.ones(1, 4, dtype=torch.bool),)
    with backbone.prompted(make(backbone, "prefix")):
        error = elsewhere(lambda: getattr(backbone, call)(given, *more))
    with pytest.raises(BackboneError, match=BOTH_WAYS):
        raise error


def test_also_while_the_other_session_holds_no_prompt():
    backbone = tiny_backbone("llama")
    with backbone.prompted(None):
        error = elsewhere(lambda: backbone.model(ids(1, 4)))
    assert isinstance(error, BackboneError)


def test_whoever_reads_the_refused_stream_is_not_left_waiting():
    backbone = tiny_backbone("llama")
    streamer = TextIteratorStreamer(byte_level(), timeout=20)
    with backbone.prompted(make(backbone, "prefix")):
        error = elsewhere(lambda: backbone.model.generate(ids(1, 4), streamer=streamer, max_new_tokens=3))
        assert list(streamer) == [""]
    assert isinstance(error, BackboneError)


def test_without_a_prompt_by_prompted_none():
    backbone = tiny_backbone("llama")
    x = ids(2, 5)

    def bare() -> Any:
        with torch.no_grad(), backbone.prompted(None):
            return backbone.model(x).logits

    with backbone.prompted(make(backbone, "soft")):
        got = elsewhere(bare)
    assert torch.equal(got, logits_by_hand(None, x))


def test_tasks_each_with_a_session():
    backbone = tiny_backbone("llama")
    choices = [make(backbone, "prefix"), make(backbone, "soft"), make(backbone, "lora"), None]
    x = ids(2, 5)

    async def one(prompt: Any) -> list[Any]:
        got = []
        with backbone.prompted(prompt):
            for _ in range(3):
                got.append(backbone.model(x).logits.detach())
                await asyncio.sleep(0)
        return got

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(one(prompt) for prompt in choices))

    for prompt, got in zip(choices, asyncio.run(all_of_them()), strict=True):
        for logits in got:
            close(logits, logits_by_hand(prompt, x))


def test_a_task_without_a_session_is_refused_and_one_begun_inside_is_prompted():
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, "prefix"), ids(2, 5)

    async def naked(go: asyncio.Event) -> Any:
        await go.wait()
        return backbone.model(x).logits

    async def main() -> tuple[Any, Any, Any]:
        go = asyncio.Event()
        outside = asyncio.create_task(naked(go))
        with backbone.prompted(prompt):
            go.set()
            inside = await asyncio.create_task(naked(go))
            threaded = await asyncio.to_thread(backbone.model, x)
            (error,) = await asyncio.gather(outside, return_exceptions=True)
        return error, inside, threaded.logits

    error, inside, threaded = asyncio.run(main())
    assert isinstance(error, BackboneError)
    close(inside, logits_by_hand(prompt, x))
    assert torch.equal(threaded, inside)


def test_a_task_that_outlives_the_session_it_was_begun_in():
    """The session is gone: while others are open it is refused, and else the model is just the model."""
    backbone = tiny_backbone("llama")
    prefix, x = make(backbone, "prefix"), ids(2, 5)

    async def late(go: asyncio.Event) -> Any:
        await go.wait()
        return backbone.model(x).logits

    async def main() -> list[Any]:
        refused, bare = asyncio.Event(), asyncio.Event()
        with backbone.prompted(prefix):
            tasks = [asyncio.create_task(late(go)) for go in (refused, bare)]
            await asyncio.sleep(0)
        with backbone.prompted(prefix):
            refused.set()
            await asyncio.wait(tasks[:1])
        bare.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    error, logits = asyncio.run(main())
    with pytest.raises(BackboneError, match=BOTH_WAYS):
        raise error
    close(logits, logits_by_hand(None, x))


def test_a_generator_that_is_closed_in_another_thread():
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, "prefix"), ids(2, 5)

    def stream() -> Any:
        with backbone.prompted(prompt):  # and no `no_grad`, which would stay behind in this thread
            while True:
                yield backbone.model(x).logits.detach()

    generator = stream()
    close(next(generator), logits_by_hand(prompt, x))
    elsewhere(generator.close)
    with torch.no_grad():
        assert torch.equal(backbone.model(x).logits, logits_by_hand(None, x))
        with backbone.prompted(make(backbone, "soft")) as prompted:
            close(prompted(x).logits, logits_by_hand(make(backbone, "soft"), x))
    assert "forward" not in vars(backbone.model)


def test_an_asynchronous_generator_closed_by_another_task():
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, "prefix"), ids(2, 5)

    async def stream() -> AsyncGenerator[Any, None]:
        with backbone.prompted(prompt):  # and no `no_grad`, which would stay behind in this thread
            while True:
                yield backbone.model(x).logits.detach()

    async def main() -> Any:
        generator: Any = stream()
        first = await asyncio.create_task(anext(generator))
        await asyncio.create_task(generator.aclose())
        with torch.no_grad():
            return first, backbone.model(x).logits

    first, after = asyncio.run(main())
    close(first, logits_by_hand(prompt, x))
    assert torch.equal(after, logits_by_hand(None, x))
