"""What opening a session costs is counted, not timed: every step of training opens one."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import softprompt


def visits(n_layers: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Modules that one step of a Llama with a prefix walks over."""
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=n_layers,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    backbone = softprompt.load_backbone(LlamaForCausalLM(config).eval())
    prompt = softprompt.prefix_tuning(backbone, 3, reparameterization=None, initialization="random")
    n, stock = 0, nn.Module.named_modules

    def counting(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        for found in stock(self, *args, **kwargs):
            nonlocal n
            n += 1
            yield found

    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "named_modules", counting)
        with backbone.prompted(prompt):
            backbone.model(input_ids=torch.tensor([[3, 4, 5]])).logits.sum().backward()
    return n


def test_each_layer_adds_as_many_visits_as_the_last(monkeypatch):
    two, four, six = (visits(n, monkeypatch) for n in (2, 4, 6))
    assert 0 < four - two == six - four
