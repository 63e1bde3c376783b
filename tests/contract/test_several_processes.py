"""A prompt that learns in several processes: somebody has to average its gradients, or it is refused."""

import pytest
import torch
from torch import nn

from softprompt import PromptedModel, gradients_by_hand
from softprompt.errors import BackboneError
from support.prompts import random_prefix
from support.tiny import ids, tiny_backbone

REFUSED = (
    r"^prompted: got a prompt that learns in 2 processes, outside of a module that averages their gradients, "
    r"expected gradients that are the same in every process\. Give accelerate or DistributedDataParallel a "
    r"softprompt\.PromptedModel\(backbone, prompt\) and call that; a loop that averages them itself runs "
    r"within softprompt\.gradients_by_hand\(\)\.$"
)


@pytest.fixture
def two(monkeypatch):
    """As one of two processes sees it."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)


def test_a_bare_session_is_refused(two):
    backbone = tiny_backbone("llama")
    with backbone.prompted(random_prefix(backbone)), pytest.raises(BackboneError, match=REFUSED):
        backbone.model(ids(1, 5))


def test_a_loop_that_averages_by_hand(two):
    backbone = tiny_backbone("llama")
    prompt = random_prefix(backbone)
    with gradients_by_hand(), backbone.prompted(prompt):
        backbone.model(ids(1, 5)).logits.sum().backward()
    assert all(p.grad is not None for p in prompt.parameters())


def test_what_learns_nothing_does_not(two):
    backbone = tiny_backbone("llama")
    prompt = random_prefix(backbone)
    with backbone.prompted(prompt), torch.no_grad():
        backbone.model(ids(1, 5))
    with backbone.prompted(prompt):
        backbone.model.generate(ids(1, 5), max_new_tokens=2, do_sample=False)
    with backbone.prompted(prompt.requires_grad_(False)):
        backbone.model(ids(1, 5))


def test_one_process_does_not(two, monkeypatch):
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    backbone = tiny_backbone("llama")
    with backbone.prompted(random_prefix(backbone)):
        backbone.model(ids(1, 5))


def test_a_prompted_model_does_not(two):
    backbone = tiny_backbone("llama")
    PromptedModel(backbone, random_prefix(backbone))(input_ids=ids(1, 5))


def test_a_module_of_ones_own_under_ddp_does_not(two, monkeypatch):
    backbone = tiny_backbone("llama")
    wrapped = object.__new__(nn.parallel.DistributedDataParallel)
    with backbone.prompted(random_prefix(backbone)), wrapped._inside_ddp_forward():
        backbone.model(ids(1, 5))
