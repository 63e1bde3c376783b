"""When a call and its backward pass are over, nothing of it stays in memory, recomputed layers included."""

import gc

import pytest
import torch

import softprompt
from support.prompts import random_prefix, soft_tokens
from support.tiny import ids, tiny_backbone
from support.tiny_vision import pixels, tiny_vision


def tensors() -> list[torch.Tensor]:
    gc.collect()
    return [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]


def grown(step) -> int:
    """By how many tensors three further steps grow what is held."""
    step()
    # Held, so that what earlier tests left cannot be collected meanwhile and hide what grows.
    before = tensors()
    for _ in range(3):
        step()
    return len(tensors()) - len(before)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
@pytest.mark.parametrize("family", ["llama", "t5", "bert_mlm"])
def test_losses(family, kind, checkpointed):
    backbone = tiny_backbone(family)
    prompt, x = kind(backbone), ids(2, 6).clamp(min=3)
    inputs = {"input_ids": x}
    if backbone.spec.is_encoder_decoder:
        inputs["decoder_input_ids"] = x
    labelled = torch.ones_like(x, dtype=torch.bool)

    def step():
        with backbone.training_mode(False, checkpointed), backbone.prompted(prompt):
            backbone.labelled_losses(inputs, labelled, x.flatten()).sum().backward()
        prompt.zero_grad()

    assert grown(step) == 0


@pytest.mark.parametrize("checkpointed", [False, True])
def test_pictures_whose_head_reads_the_prompt(checkpointed):
    backbone = tiny_vision("vit")
    head = softprompt.head("picture", ["no", "yes"], pooling="prompt")
    prompt = softprompt.visual_prompt_tuning(backbone, length=3, head=head)

    def step():
        with backbone.training_mode(False, checkpointed), backbone.prompted(prompt):
            backbone.look(pixels())[0].square().sum().backward()
        prompt.zero_grad()

    assert grown(step) == 0
