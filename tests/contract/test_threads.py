"""Any number of threads, each with its own prompts or with none, on one model: each as though alone."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from softprompt.backbones import Backbone
from support.prompts import close, random_prefix
from support.references import (
    METHODS,
    generated_by_hand,
    logits_by_hand,
    make,
    prompts_of,
    rows_by_hand,
)
from support.tiny import ids, tiny_backbone

N_THREADS = 8


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Results of calls that begin together, each in a thread of its own."""
    barrier = threading.Barrier(len(calls))

    def begin(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(begin, call) for call in calls]]


@pytest.mark.parametrize("method", METHODS)
def test_each_way_alone_is_what_is_written_by_hand(method):
    backbone = tiny_backbone("llama")
    prompt, x = make(backbone, method), ids(2, 6)
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        close(prompted(x).logits, logits_by_hand(prompt, x))
        text = prompted.generate(x, max_new_tokens=4, do_sample=False, eos_token_id=None)
    assert torch.equal(text, generated_by_hand(prompt, x, 4))


def test_threads_with_sessions_of_their_own():
    backbone = tiny_backbone("llama")
    choices = [*prompts_of(backbone), None]

    def one(prompt: Any, seed: int) -> Any:
        with torch.no_grad(), backbone.prompted(prompt):
            x = ids(2, 5, seed)
            logits = backbone.model(x).logits
            text = backbone.model.generate(x, max_new_tokens=3, do_sample=False, eos_token_id=None)
            return logits, text

    calls = [lambda p=choices[i % 5], i=i: one(p, i) for i in range(N_THREADS)]
    alone = [call() for call in calls]
    for _ in range(3):
        for got, want in zip(at_once(calls), alone, strict=True):
            assert torch.equal(got[0], want[0])
            assert torch.equal(got[1], want[1])
    for i, (logits, _) in enumerate(alone):
        close(logits, logits_by_hand(choices[i % 5], ids(2, 5, i)))


def test_threads_through_views_of_sessions_opened_elsewhere():
    backbone = tiny_backbone("llama")
    prompts = prompts_of(backbone)
    x = ids(2, 6)

    def opened(prompt: Any, ready: threading.Barrier, done: threading.Event, views: list[Any]) -> None:
        with backbone.prompted(prompt) as prompted:
            views.append((prompt, prompted))
            ready.wait()
            assert done.wait(60)

    views: list[Any] = []
    ready, done = threading.Barrier(len(prompts) + 1), threading.Event()
    owners = [threading.Thread(target=opened, args=(p, ready, done, views)) for p in prompts]
    for owner in owners:
        owner.start()
    ready.wait()
    try:
        with torch.no_grad():
            calls = [lambda view=view: view(x).logits for _, view in views] * 2
            got = at_once([lambda call=call: torch.no_grad()(call)() for call in calls])
    finally:
        done.set()
        for owner in owners:
            owner.join()
    for (prompt, _), logits in zip(views * 2, got, strict=True):
        close(logits, logits_by_hand(prompt, x))
    assert "forward" not in vars(backbone.model)


def test_a_view_called_inside_another_session_of_the_same_thread():
    backbone = tiny_backbone("llama")
    prefix, soft, x = make(backbone, "prefix"), make(backbone, "soft"), ids(2, 6)
    got: dict[str, Any] = {}
    with torch.no_grad(), backbone.prompted(prefix) as outer:

        def other() -> None:
            with torch.no_grad(), backbone.prompted(soft) as inner:
                got["inner"] = inner(x).logits
                got["outer"] = outer(x).logits  # someone else's view, in a thread with a session of its own
                got["after"] = backbone.model(x).logits

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    close(got["inner"], logits_by_hand(soft, x))
    close(got["outer"], logits_by_hand(prefix, x))
    assert torch.equal(got["after"], got["inner"])


def test_rows_of_several_prompts_in_several_threads():
    backbone = tiny_backbone("llama")
    prompts = [random_prefix(backbone, 2), random_prefix(backbone, 5, seed=9), None]
    plans = [[0, 1, 2], [2, 2, 0], [1, 1, 1], [0, 2, 1]]

    def one(rows: list[int], seed: int) -> Any:
        with torch.no_grad(), backbone.prompted(prompts, rows=rows):
            return backbone.model(ids(3, 5, seed)).logits

    got = at_once([lambda rows=rows, i=i: one(rows, i) for i, rows in enumerate(plans)])
    for i, rows in enumerate(plans):
        close(got[i], rows_by_hand(prompts, rows, ids(3, 5, i)))


def gradients(backbone: Backbone, prompt: Any) -> list[torch.Tensor]:
    x = ids(2, 6)
    with backbone.prompted(prompt):
        loss = backbone.model(x, labels=x, use_cache=False).loss
    return list(torch.autograd.grad(loss, list(prompt.parameters())))


def test_gradients_of_threads_that_train_at_once():
    backbone = tiny_backbone("llama")
    prompts = prompts_of(backbone) * 2
    calls = [lambda p=p: gradients(backbone, p) for p in prompts]
    alone = [call() for call in calls]
    for got, want in zip(at_once(calls), alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
        assert max(float(a.abs().max()) for a in got) > 0


def test_checkpointed_layers_run_again_while_others_lay_their_weights():
    """A recomputed layer must find its own prompt's weights, whatever other threads do meanwhile."""
    backbone = tiny_backbone("llama")
    prompts = [make(backbone, "weights", seed) for seed in range(4)] + [make(backbone, "prefix")]
    with backbone.training_mode(dropout=False, gradient_checkpointing=True):
        calls = [lambda p=p: gradients(backbone, p) for p in prompts]
        alone = [call() for call in calls]
        for _ in range(5):
            for got, want in zip(at_once(calls), alone, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_one_lora_that_two_threads_are_inside_of_at_once():
    backbone = tiny_backbone("llama")
    prompt = make(backbone, "lora")
    texts = [ids(1, 5, seed) for seed in range(2)]
    with torch.no_grad(), backbone.prompted(prompt):
        alone = [backbone.model(text).logits for text in texts]
    both = threading.Barrier(2, timeout=20)

    def meet(module: Any, args: Any) -> None:
        both.wait()

    inserts: list[Any] = list(prompt.inserts.values())
    handles = [insert.layer.register_forward_pre_hook(meet) for insert in inserts]

    def one(text: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), backbone.prompted(prompt):
            return backbone.model(text).logits

    got = at_once([lambda text=text: one(text) for text in texts])
    for handle in handles:
        handle.remove()
    assert all(torch.equal(a, b) for a, b in zip(got, alone, strict=True))
