"""Compiled models: what torch compiled for calls without a prompt is not what runs under one."""

import logging
from typing import Any

import pytest
import torch

import softprompt
from softprompt.errors import BackboneError
from support.prompts import close
from support.references import METHODS, logits_by_hand, make
from support.tiny import ids, one_layer


def compile_whole(model: Any) -> Any:
    return torch.compile(model, backend="eager")


def compile_in_place(model: Any) -> Any:
    model.compile(backend="eager")
    return model


def compile_forward(model: Any) -> Any:
    model.forward = torch.compile(model.forward, backend="eager")
    return model


def compile_layers(model: Any) -> Any:
    for layer in model.model.layers:
        layer.compile(backend="eager")
    return model


def compile_forward_of_layers(model: Any) -> Any:
    for layer in model.model.layers:
        layer.forward = torch.compile(layer.forward, backend="eager")
    return model


WAYS = (compile_whole, compile_in_place, compile_forward, compile_layers, compile_forward_of_layers)


CHOICES = [(compile_whole, "soft"), (compile_layers, "prefix"), (compile_forward, "weights")]
SLOW = [(way, method) for way in WAYS for method in METHODS if (way, method) not in CHOICES]


@pytest.fixture(autouse=True)
def quiet():
    """torch notes every step of compiling in its own log, which takes longer than compiling."""
    level = logging.getLogger("torch.__trace").level
    logging.getLogger("torch.__trace").setLevel(logging.WARNING)
    yield
    logging.getLogger("torch.__trace").setLevel(level)


@pytest.mark.parametrize(
    ("way", "method"), [*CHOICES, *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)]
)
def test_under_a_prompt_and_without(way, method):
    torch._dynamo.reset()
    backbone = softprompt.load_backbone(one_layer())
    prompt, x = make(backbone, method), ids(2, 5)
    compiled = way(backbone.model)
    bare, want = logits_by_hand(None, x, model=one_layer()), logits_by_hand(prompt, x, model=one_layer())
    with torch.no_grad():
        close(compiled(x).logits, bare)  # compiled before any prompt
        for _ in range(2):
            with backbone.prompted(prompt):
                close(compiled(x).logits, want)
            close(compiled(x).logits, bare)
        with backbone.prompted(None):
            close(compiled(x).logits, bare)


@pytest.mark.parametrize("way", [compile_layers])
def test_compiled_first_under_a_prompt(way):
    torch._dynamo.reset()
    backbone = softprompt.load_backbone(one_layer())
    prompt, x = make(backbone, "prefix"), ids(2, 5)
    compiled = way(backbone.model)
    with torch.no_grad():
        with backbone.prompted(prompt):
            close(compiled(x).logits, logits_by_hand(prompt, x, model=one_layer()))
        close(compiled(x).logits, logits_by_hand(None, x, model=one_layer()))


def test_one_graph_without_breaks_is_refused():
    torch._dynamo.reset()
    backbone = softprompt.load_backbone(one_layer())
    x = ids(2, 5)
    layer = backbone.model.model.layers[0]
    layer.forward = torch.compile(layer.forward, backend="eager", fullgraph=True)
    refused = pytest.raises(BackboneError, match=r"compiled as one graph without any break")
    with torch.no_grad(), backbone.prompted(make(backbone, "prefix")) as prompted, refused:
        prompted(x)
    with torch.no_grad():
        close(backbone.model(x).logits, logits_by_hand(None, x, model=one_layer()))
