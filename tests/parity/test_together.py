"""Prompts trained in one batch get the gradients of training each alone on its rows."""

from typing import Any

import pytest
import torch
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.data.records import pairs
from softprompt.errors import PromptError
from softprompt.prompts.prompt import Prompt
from softprompt.tasks.mixture import Mixture, PartExample
from support.prompts import close
from support.questions import CASES, WRITING, prompt_for, reader

# Part: its task, its method and the method's options.
READING: dict[str, tuple[str, str, dict[str, Any]]] = {
    "whole": ("classification", "p_tuning_v2", {"length": 3}),
    "upper": ("tagging", "p_tuning_v2", {"length": 5, "layers": "last:2", "positions": "unshifted"}),
    "front": ("spans", "prompt_tuning", {"length": 4}),
    "head": ("choice", "head_only", {}),
    "network": ("pair", "p_tuning_v2", {"length": 2, "reparameterization": "mlp", "width": 8}),
    "middle": ("regression", "p_tuning_v2", {"length": 4, "layers": [1]}),
    "again": ("classification", "prompt_tuning", {"length": 2}),
    "adapters": ("tagging", "adapter", {"width": 8, "activation": "gelu"}),
}
WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    "paper": ("prefix_tuning", {"length": 3, "width": 8}),
    "direct": ("prefix_tuning", {"length": 6, "reparameterization": None}),
    "lower": ("prefix_tuning", {"length": 2, "layers": "first:1", "reparameterization": None}),
    "front": ("prompt_tuning", {"length": 4}),
    "low rank": ("lora", {"rank": 3}),
}


def interleaved(by_part: dict[str, list[Any]]) -> list[PartExample]:
    """Examples of all parts in turn, so that no part's rows lie together."""
    longest = max(map(len, by_part.values()))
    return [
        PartExample(name, examples[i])
        for i in range(longest)
        for name, examples in by_part.items()
        if i < len(examples)
    ]


def gradients(prompt: Prompt) -> dict[str, Tensor]:
    found = {name: p.grad for name, p in prompt.named_parameters()}
    for name, grad in found.items():
        # A choice, be it of a span's ends, is made by differences, which one bias for all does not change.
        compared = prompt.head is not None and prompt.head.card.kind in ("choice", "span")
        silent = name == "head.bias" and compared
        assert grad is not None and (silent or grad.abs().max() > 0), name
    prompt.zero_grad()
    return found  # type: ignore[return-value]


def check(
    backbone: Backbone, tasks: dict[str, Any], prompts: dict[str, Prompt], by_part: dict[str, list[Any]]
):
    mixture = Mixture(backbone, tasks)
    examples = interleaved(by_part)
    with backbone.prompted(list(prompts.values()), rows=mixture.rows(examples)):
        losses = mixture.losses(examples)
        assert list(losses) == list(tasks)
        sum(losses.values(), start=torch.zeros(())).backward()
    together = {name: gradients(prompt) for name, prompt in prompts.items()}
    for name, task in tasks.items():
        with backbone.prompted(prompts[name]):
            alone = task.loss(by_part[name])
            alone.backward()
        close(losses[name], alone)
        for tensor, grad in gradients(prompts[name]).items():
            close(together[name][tensor], grad, 2e-5)
    assert all(p.grad is None for p in backbone.model.parameters())


@pytest.mark.parametrize(
    "family", ["bert", "roberta", "albert", "deberta_v3", "modernbert", "llama", "gpt2", "t5"]
)
def test_tasks_with_heads(family):
    backbone = reader(family)
    tasks = {name: CASES[case].task(backbone) for name, (case, _, _) in READING.items()}
    prompts = {
        name: prompt_for(backbone, tasks[name], method, seed, **options)
        for seed, (name, (_, method, options)) in enumerate(READING.items())
    }
    by_part = {
        name: [tasks[name].encode(record) for record in CASES[case].records]
        for name, (case, _, _) in READING.items()
    }
    assert any(example.n_rows > 1 for example in by_part["upper"])
    check(backbone, tasks, prompts, by_part)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma3", "t5", "bart"])
def test_generation_for_several_users(family):
    backbone = reader(family)
    tasks = {name: WRITING.task(backbone) for name in WRITERS}
    prompts = {
        name: prompt_for(backbone, tasks[name], method, seed, **options)
        for seed, (name, (method, options)) in enumerate(WRITERS.items())
    }
    encoded = [tasks["paper"].encode(record) for record in pairs(WRITING.records)]
    by_part = {name: encoded[i : i + 2] for i, name in enumerate(WRITERS)}
    check(backbone, tasks, prompts, by_part)


def test_rows_of_one_example_have_one_prompt():
    backbone = reader("bert")
    task = CASES["choice"].task(backbone)
    prompts = [prompt_for(backbone, task, "p_tuning_v2", seed, length=2) for seed in (0, 1)]
    example = task.encode(CASES["choice"].records[0])
    with (
        backbone.prompted(prompts, rows=[0, 1]),
        pytest.raises(PromptError, match="different prompts for the rows of one example"),
    ):
        task.loss([example])


def test_a_head_of_another_task_is_refused():
    backbone = reader("bert")
    one, other = (CASES[name].task(backbone) for name in ("classification", "pair"))
    prompts = [prompt_for(backbone, task, "head_only") for task in (one, one)]
    mixture = Mixture(backbone, {"one": one, "other": other})
    examples = [
        PartExample("one", one.encode(CASES["classification"].records[0])),
        PartExample("other", other.encode(CASES["pair"].records[0])),
    ]
    with (
        backbone.prompted(prompts, rows=mixture.rows(examples)),
        pytest.raises(PromptError, match=r"'yes'.*'a'"),
    ):
        mixture.losses(examples)
