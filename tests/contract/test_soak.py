"""Long use: many threads and prompts for thousands of calls, and thousands of sessions in turn."""

import gc
import queue
import random
import threading
import tracemalloc
from typing import Any

import pytest
import torch
from transformers.generation.streamers import BaseStreamer

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.prompts.prompt import Prompt
from support.prompts import random_prefix, soft_tokens
from support.references import make
from support.tiny import ids, one_layer

N_THREADS = 8
OPTIONS: dict[str, Any] = {"max_new_tokens": 2, "do_sample": False, "eos_token_id": None}


class Keeps(BaseStreamer):
    """Hands tokens over to whoever reads them in another thread."""

    def __init__(self) -> None:
        self.tokens: queue.SimpleQueue[torch.Tensor | None] = queue.SimpleQueue()

    def put(self, value: torch.Tensor) -> None:
        self.tokens.put(value.flatten())

    def end(self) -> None:
        self.tokens.put(None)

    def read(self) -> torch.Tensor:
        """All tokens, the text's own first."""
        parts: list[torch.Tensor] = []
        while (part := self.tokens.get(timeout=60)) is not None:
            parts.append(part)
        return torch.cat(parts)


def answer(backbone: Backbone, prompt: Prompt | None, seed: int, way: str) -> torch.Tensor:
    x = ids(1, 4, seed)
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        if way == "call":
            return prompted(x).logits
        if way == "naked":
            return backbone.model(x).logits
        if way == "generate":
            return prompted.generate(x, **OPTIONS)[0]
        streamer = Keeps()
        writer = threading.Thread(
            target=prompted.generate, args=(x,), kwargs={**OPTIONS, "streamer": streamer}
        )
        writer.start()
        tokens = streamer.read()
        writer.join()
        return tokens


@pytest.mark.parametrize("n_calls", [500, pytest.param(5000, marks=pytest.mark.slow)])
def test_threads_and_prompts_for_long(n_calls):
    backbone = softprompt.load_backbone(one_layer())
    prompts = [*(make(backbone, method) for method in ("prefix", "soft", "lora", "weights")), None]
    ways = ("call", "naked", "generate", "stream")
    keys = [(i, seed, way) for i in range(len(prompts)) for seed in range(2) for way in ways]
    wanted = {(i, seed, way): answer(backbone, prompts[i], seed, way) for i, seed, way in keys}
    # Under another prompt the answer is another one, so a mixed-up call would be seen.
    assert len({tuple(wanted[i, 0, "call"].flatten().tolist()) for i in range(len(prompts))}) == len(prompts)
    wrong: list[Any] = []

    def work(number: int) -> None:
        order = random.Random(number)
        for _ in range(n_calls // N_THREADS):
            key = order.choice(keys)
            try:
                got = answer(backbone, prompts[key[0]], *key[1:])
                if not torch.equal(got, wanted[key]):
                    wrong.append(key)
            except BaseException as error:
                wrong.append((key, error))
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not vars(backbone.model).keys() & {"forward", "generate", "zero_grad"}


@pytest.mark.parametrize("n_cycles", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_sessions_one_after_the_other_leave_nothing(n_cycles):
    backbone = softprompt.load_backbone(one_layer())
    prompts = [random_prefix(backbone, 2), soft_tokens(backbone), make(backbone, "lora"), None]
    x = ids(1, 3)

    def cycles(n: int) -> None:
        with torch.no_grad():
            for i in range(n):
                with backbone.prompted(prompts[i % 4]) as prompted:
                    if i % 50 < 4:
                        prompted(x)

    def standing() -> dict[str, Any]:
        return {
            name: (set(vars(module)), len(module._forward_hooks), len(module._forward_pre_hooks))
            for name, module in backbone.model.named_modules()
        }

    cycles(200)
    before, n_objects = standing(), settled()
    tracemalloc.start()
    try:
        cycles(20)
        gc.collect()
        n_bytes = tracemalloc.get_traced_memory()[0]
        cycles(n_cycles)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - n_bytes
    finally:
        tracemalloc.stop()
    assert standing() == before
    assert settled() - n_objects < 100
    assert grown < 150_000  # bytes; hundreds of sessions that left anything would leave more


def settled() -> int:
    """Live objects that Python's collector knows."""
    gc.collect()
    return len(gc.get_objects())
