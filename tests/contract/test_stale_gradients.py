"""A loop that never clears a prompt's gradients is stopped; every loop that does clear them goes on."""

import pickle

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from softprompt import PromptedModel, gradients_by_hand
from softprompt.errors import BackboneError
from support import by_loop
from support.prompts import random_prefix
from support.tiny import ids, tiny_backbone

REFUSED = (
    r"^prompted: got a backward pass whose gradients would be added to those of a step that was already "
    r"taken, expected gradients that are cleared after every step\. Call optimizer\.zero_grad\(\); a trainer "
    r"that clears a module's gradients \(Trainer, accelerate\) takes softprompt\.PromptedModel\(backbone, "
    r"prompt\) as that module or within it; where they are to add up, run within "
    r"softprompt\.gradients_by_hand\(\)\.$"
)


class Around(nn.Module):
    """Somebody's module, which holds the frozen model."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, labels, attention_mask=None):
        return {"loss": self.model(input_ids=input_ids, labels=labels).loss}


@pytest.fixture
def backbone():
    return tiny_backbone("llama")


@pytest.fixture
def prompt(backbone):
    return random_prefix(backbone)


def loss(backbone):
    return backbone.model(ids(2, 5), labels=ids(2, 5)).loss


def trained(folder, model, optimizer):
    arguments = TrainingArguments(
        str(folder), max_steps=3, per_device_train_batch_size=2, save_strategy="no", report_to=[],
        use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=by_loop.examples(), optimizers=(optimizer, None)).train()


def test_a_trainer_over_a_module_that_contains_the_model(backbone, prompt, tmp_path):
    optimizer = torch.optim.SGD(prompt.parameters(), 0.1)
    with backbone.prompted(prompt), pytest.raises(BackboneError, match=REFUSED):
        trained(tmp_path, Around(backbone.model), optimizer)


def test_a_module_that_contains_the_prompted_one(backbone, prompt, tmp_path):
    model = Around(PromptedModel(backbone, prompt))
    before = [p.detach().clone() for p in prompt.parameters()]
    trained(tmp_path, model, torch.optim.SGD(model.parameters(), 0.1))
    assert all(not torch.equal(a, b) for a, b in zip(before, prompt.parameters(), strict=True))


def test_a_loop_that_forgets_to_clear(backbone, prompt):
    optimizer = torch.optim.Adam(prompt.parameters())
    with backbone.prompted(prompt):
        loss(backbone).backward()
        loss(backbone).backward()  # two passes of one step
        optimizer.step()
        with pytest.raises(BackboneError, match=REFUSED):
            loss(backbone).backward()
        optimizer.zero_grad()
        loss(backbone).backward()


@pytest.mark.parametrize("within", [False, True])
def test_gradients_that_are_to_add_up(backbone, prompt, within):
    optimizer = torch.optim.SGD(prompt.parameters(), 0.0)
    outer, inner = backbone.prompted(prompt), gradients_by_hand()
    if not within:
        outer, inner = inner, outer
    with outer, inner:
        loss(backbone).backward()
        once = [p.grad.clone() for p in prompt.parameters()]
        optimizer.step()
        loss(backbone).backward()
    for first, parameter in zip(once, prompt.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, 2 * first)


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("when", ["before the pass", "before the backward pass", "after the step"])
def test_loops_that_clear(backbone, prompt, set_to_none, when):
    optimizer = torch.optim.AdamW(prompt.parameters(), foreach=False)
    with backbone.prompted(prompt):
        for _ in range(3):
            if when == "before the pass":
                optimizer.zero_grad(set_to_none)
            given = loss(backbone)
            if when == "before the backward pass":
                optimizer.zero_grad(set_to_none)
            given.backward()
            nn.utils.clip_grad_norm_(prompt.parameters(), 1.0)
            optimizer.step()
            if when == "after the step":
                optimizer.zero_grad(set_to_none)


def test_a_session_for_every_step(backbone, prompt):
    optimizer = torch.optim.SGD(prompt.parameters(), 0.1)
    for step in range(2):
        with backbone.prompted(prompt):
            if step:
                with pytest.raises(BackboneError, match=REFUSED):
                    loss(backbone).backward()
            else:
                loss(backbone).backward()
                optimizer.step()


def test_another_s_optimizer_is_nobody_s_business(backbone, prompt):
    other = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(other.parameters(), 0.1)
    with backbone.prompted(prompt):
        for _ in range(3):
            (other(torch.ones(1, 2)).sum() + 0 * loss(backbone)).backward()
            optimizer.step()


def test_lbfgs(backbone, prompt):
    optimizer = torch.optim.LBFGS(prompt.parameters(), max_iter=3)

    def closure():
        optimizer.zero_grad()
        given = loss(backbone)
        given.backward()
        return given

    with backbone.prompted(prompt):
        for _ in range(2):
            optimizer.step(closure)


def test_nothing_stays_on_the_parameters(backbone, prompt):
    with backbone.prompted(prompt):
        pickle.dumps(prompt)  # without a warning of hooks that get lost
    assert not any(p._backward_hooks for p in prompt.parameters())
