"""Sending a model's attention calls through our function, and recording them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from softprompt.backbones.attention import KERNELS, PREFIX, AttentionCall, put, standing_on
from softprompt.backbones.self_computed import reachable
from softprompt.errors import BackboneError


@contextmanager
def routed(model: nn.Module, modules: Sequence[nn.Module] | None = None) -> Iterator[None]:
    """While active, every attention call of the model can be intercepted; undone exactly.

    Args:
        model: the model.
        modules: all of its modules, where they are listed already; walking them takes a while.

    Raises:
        BackboneError: the model uses a kernel that cannot take a prompt.
    """
    modules = list(model.modules()) if modules is None else modules
    configs = {id(c): c for m in modules if (c := getattr(m, "config", None)) is not None}
    before: list[tuple[Any, str]] = []
    for config in configs.values():
        kernel = getattr(config, "_attn_implementation_internal", None)
        if kernel is None or kernel.startswith(PREFIX):  # none, or already routed by an outer call
            continue
        if kernel not in KERNELS:
            raise BackboneError(
                "backbone.attention", f"'{kernel}'", "'sdpa' or 'eager'", "load the model with one of them"
            )
        before.append((config, kernel))
    try:
        for config, kernel in before:
            config._attn_implementation_internal = PREFIX + kernel
        with reachable(modules):
            yield
    finally:
        for config, kernel in before:
            config._attn_implementation_internal = kernel


class Recorder:
    """Notes every attention call and computes it as usual."""

    def __init__(self) -> None:
        self.calls: list[AttentionCall] = []

    def __call__(self, call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        """Note the call."""
        self.calls.append(call)
        return call.as_usual()


@contextmanager
def recording(model: nn.Module, recorder: Recorder | None = None) -> Iterator[Recorder]:
    """Record every attention call of the model; what was put on its modules rests meanwhile."""
    recorder = recorder or Recorder()
    before = {m: standing_on(m) for m in model.modules()}
    try:
        for module in before:
            put(module, recorder)
        yield recorder
    finally:
        for module, old in before.items():
            put(module, old)
