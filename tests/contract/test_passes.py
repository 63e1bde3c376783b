"""Several passes and one backward, rows that fit no batch, inference mode, and passes that are broken off."""

import asyncio
from typing import Any

import pytest
import torch

import softprompt
from softprompt.errors import PromptError
from support.prompts import close, inputs_for, random_prefix, soft_tokens
from support.references import METHODS, generated_by_hand, logits_by_hand, make
from support.tiny import ids, tiny_backbone
from support.tiny_vision import pixels, tiny_vision


@pytest.mark.parametrize("method", METHODS)
def test_everything_inside_inference_mode(method):
    backbone = tiny_backbone("llama")
    x = ids(2, 5)
    with torch.inference_mode():
        prompt = make(backbone, method)
        with backbone.prompted(prompt) as prompted:
            close(prompted(x).logits, logits_by_hand(prompt, x))
            prompted.generate(x, max_new_tokens=2)
    trained = make(backbone, method)
    with backbone.prompted(trained) as prompted:
        with torch.inference_mode():
            prompted(x)
        loss = prompted(x, labels=x).loss
        gradients = torch.autograd.grad(loss, list(trained.parameters()))
    assert max(float(g.abs().max()) for g in gradients) > 0


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_two_passes_and_one_backward(method, checkpointed):
    backbone = tiny_backbone("llama")
    prompt, x, y = make(backbone, method), ids(2, 5), ids(2, 6, seed=3)

    def loss(text: Any) -> Any:
        return backbone.model(text, labels=text, use_cache=False).loss

    def gradients(total: Any) -> list[torch.Tensor]:
        return list(torch.autograd.grad(total, list(prompt.parameters())))

    with backbone.prompted(prompt):
        apart = [a + b for a, b in zip(gradients(loss(x)), gradients(loss(y)), strict=True)]
    with backbone.training_mode(dropout=False, gradient_checkpointing=checkpointed):
        with backbone.prompted(prompt):
            first = loss(x)
            together = gradients(first + loss(y))
        with backbone.prompted(prompt):
            total = loss(x) + loss(y)
        outside = gradients(total)
    for a, b, c in zip(apart, together, outside, strict=True):
        close(b, a)
        close(c, a)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_several_prompts_in_turn_and_one_backward(checkpointed):
    backbone = tiny_backbone("llama")
    prompts, x = [make(backbone, method) for method in METHODS], ids(2, 5)
    parameters = [parameter for prompt in prompts for parameter in prompt.parameters()]
    losses, apart = [], []
    for prompt in prompts:
        with backbone.prompted(prompt) as prompted:
            own = prompted(x, labels=x, use_cache=False).loss
        apart += torch.autograd.grad(own, list(prompt.parameters()))
    with backbone.training_mode(dropout=False, gradient_checkpointing=checkpointed):
        for prompt in prompts:
            with backbone.prompted(prompt) as prompted:
                losses.append(prompted(x, labels=x, use_cache=False).loss)
        together = torch.autograd.grad(torch.stack(losses).sum(), parameters)
    for a, b in zip(apart, together, strict=True):
        close(b, a)


@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
@pytest.mark.parametrize("family", ["llama", "t5", "bart", "bert"])
def test_rows_that_are_not_the_batchs(family, kind):
    backbone = tiny_backbone(family)
    prompts = [kind(backbone), None]
    message = r"2 rows for a batch of 4, expected one row per batch row"
    with torch.no_grad(), backbone.prompted(prompts) as prompted:
        with pytest.raises(PromptError, match=message):
            prompted(**inputs_for(backbone, batch=4))
        if family == "bert":
            return
        given = {"input_ids": ids(4, 5), "attention_mask": torch.ones(4, 5, dtype=torch.long)}
        with pytest.raises(PromptError, match=message):
            prompted.generate(**given, max_new_tokens=2)
        half = {name: tensor[:2] for name, tensor in given.items()}
        options = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None}
        assert len(prompted.generate(**half, **options, num_beams=2, num_return_sequences=2)) == 4


@pytest.mark.parametrize("depth", ["shallow", "deep"])
@pytest.mark.parametrize("family", ["swin", "vit"])
def test_rows_that_are_not_the_pictures(family, depth):
    backbone = tiny_vision(family)
    prompts = [softprompt.visual_prompt_tuning(backbone, 2, depth=depth, seed=seed) for seed in (0, 1)]
    with torch.no_grad(), backbone.prompted(prompts) as prompted:
        for batch in (4, 3, 1):
            with pytest.raises(PromptError, match=rf"2 rows for a batch of {batch}"):
                prompted(pixel_values=pixels(batch))
        assert prompted(pixel_values=pixels(2)).last_hidden_state.isfinite().all()


class BrokenOff(BaseException):
    """As a signal, or a task that is cancelled, breaks a pass off."""


STOPS = (KeyboardInterrupt, asyncio.CancelledError, BrokenOff)


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("where", ["layer", "processor", "prompt", "backward"])
@pytest.mark.parametrize("method", METHODS)
def test_the_pass_after_one_that_was_broken_off(method, where, stop):
    if where == "prompt" and method in ("lora", "weights"):
        pytest.skip("nothing of it is computed before the pass")
    backbone = tiny_backbone("llama")
    prompt, x, armed = make(backbone, method), ids(2, 5), [False]

    def breaks(*args: Any, **kwargs: Any) -> None:
        if armed[0]:
            raise stop

    def processor(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] > 5:
            breaks()
        return scores

    layer = backbone.model.model.layers[1]
    handles = []
    if where == "layer":
        handles.append(layer.register_forward_pre_hook(breaks))
    elif where == "prompt":
        handles.append(prompt.register_forward_pre_hook(breaks))
    options: dict[str, Any] = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None}
    with backbone.prompted(prompt) as prompted:
        armed[0] = True
        for call in (
            lambda: prompted.generate(x, **options, logits_processor=[processor]),
            lambda: prompted(x),
        ):
            if where == "processor" or (where == "backward" and method == "weights"):
                call = lambda: prompted.generate(x, **options, logits_processor=[processor])  # noqa: E731
            if where == "backward" and method != "weights":
                loss = prompted(x).logits.sum()
                loss.register_hook(breaks)
                call = loss.backward
            with pytest.raises(stop):
                call()
        armed[0] = False
        close(prompted(x).logits.detach(), logits_by_hand(prompt, x))
        assert torch.equal(prompted.generate(x, **options), generated_by_hand(prompt, x, 3))
    for handle in handles:
        handle.remove()
    assert "forward" not in vars(backbone.model)
    assert "weight" not in vars(backbone.model.model.norm)
    with torch.no_grad():
        assert torch.equal(backbone.model(x).logits, logits_by_hand(None, x))
