"""The one attention function: every family's attention passes here and asks what acts for its caller.

transformers looks attention functions up in its `AttentionInterface` by the name in a config. Our functions
are registered under the usual names (`sdpa`, `eager`), so no config is ever changed. While nothing acts in
the caller's context, they pass the call on to the stock function unchanged.
"""

import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from softprompt.backbones.attention import cpu_backward
from softprompt.backbones.attention.mask import AttentionMask, is_causal
from softprompt.backbones.dispatch import setting, undone
from softprompt.errors import BackboneError

AttentionFunction = Callable[..., tuple[Tensor, Tensor | None]]
KERNELS = ("sdpa", "eager")
"""Attention kernels that a prompt can work with."""


@dataclass(frozen=True)
class AttentionCall:
    """One call of an attention function.

    Args:
        stock: the family's own function.
        kernel: `sdpa` or `eager`.
        module: the attention module.
        query: `[batch, head, seq, key_dim]`.
        key: `[batch, kv_head, keys, key_dim]`.
        value: `[batch, kv_head, keys, value_dim]`.
        mask: as the family made it for this kernel, or None; see `read_mask`.
        kwargs: the family's other arguments.
    """

    stock: AttentionFunction
    kernel: str
    module: nn.Module
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    kwargs: dict[str, Any]

    @property
    def scale(self) -> float:
        """Of the scores."""
        return self.kwargs.get("scaling") or self.query.shape[-1] ** -0.5

    @property
    def dropout(self) -> float:
        """Share of weights dropped."""
        return self.kwargs.get("dropout") or 0.0

    @property
    def may_go_back_quicker(self) -> bool:
        """Whether it is worth asking `cpu_backward.pays`, which has to read the mask."""
        query = self.query
        return query.dtype in cpu_backward.DTYPES and query.device.type == "cpu" and torch.is_grad_enabled()

    def as_usual(self) -> tuple[Tensor, Tensor | None]:
        """The stock function's answer."""
        return self.stock(self.module, self.query, self.key, self.value, self.mask, **self.kwargs)

    def read_mask(self) -> AttentionMask:
        """What the queries see."""
        causal, n_keys = is_causal(self.module, self.kwargs), self.key.shape[2]
        return AttentionMask.read(
            self.mask, kernel=self.kernel, causal=causal, query=self.query, n_keys=n_keys
        )


Interception = Callable[[AttentionCall], tuple[Tensor, Tensor | None]]
"""Answers attention calls; gives `[batch, seq, head, value_dim]` and weights or None."""

_INTERCEPTION: ContextVar[Interception | None] = ContextVar("attention", default=None)
_SOMETHING_MAY_ACT = False
"""Whether something may answer attention calls, in whatever thread; compiled graphs ask for this alone."""

_WATCHES: ContextVar[Mapping[nn.Module, Callable[[AttentionCall], AttentionCall]]] = ContextVar(
    "watches", default=MappingProxyType({})
)


@contextmanager
def intercepting(interception: Interception | None) -> Iterator[None]:
    """Within this context, and for its calls alone, attention calls are answered so; None: as usual."""
    install()
    with setting(_INTERCEPTION, interception):
        yield


@contextmanager
def answering(answers: Mapping[nn.Module, Interception], own: Set[nn.Module]) -> Iterator[None]:
    """Within this context, and for its calls alone, some attentions of a model are answered otherwise.

    Args:
        answers: by attention.
        own: all attentions of the model; those of other models are answered as before.
    """
    around = _INTERCEPTION.get()

    def answer(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        if call.module not in own:
            return call.as_usual() if around is None else around(call)
        ours = answers.get(call.module)
        return quick(call).as_usual() if ours is None else ours(quick(call))

    with intercepting(answer):
        yield


def interception() -> Interception | None:
    """What answers attention calls in this context."""
    return _INTERCEPTION.get()


def intercept(interception: Interception | None) -> None:
    """From now on attention calls of this context are answered so; None: as usual."""
    install()
    _INTERCEPTION.set(interception)


def answered(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
    """A call's answer in this context."""
    acting, watch = _INTERCEPTION.get(), _WATCHES.get().get(call.module)
    call = call if watch is None else watch(call)
    return call.as_usual() if acting is None else acting(call)


@contextmanager
def watching(module: nn.Module, watch: Callable[[AttentionCall], AttentionCall]) -> Iterator[None]:
    """Within this context the calls of one attention are passed to `watch` first, and then answered as usual.

    Args:
        module: the attention.
        watch: gives the call to be answered in its place.
    """
    install()
    with setting(_WATCHES, {**_WATCHES.get(), module: watch}):
        yield


class Recorder:
    """Notes every attention call and computes it as usual."""

    def __init__(self) -> None:
        self.calls: list[AttentionCall] = []

    def __call__(self, call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        """Note the call."""
        self.calls.append(call)
        return call.as_usual()


def check_kernel(config: Any) -> None:
    """Refuse a kernel that a prompt cannot work with.

    Raises:
        BackboneError: it is neither `sdpa` nor `eager`.
    """
    kernel = getattr(config, "_attn_implementation", None)
    if kernel is not None and kernel not in KERNELS:
        raise BackboneError(
            "backbone.attention",
            f"'{kernel}'",
            "'sdpa' or 'eager'",
            "load the model with attn_implementation='sdpa', or call model.set_attn_implementation('sdpa')",
        )


# -- what stands in transformers' registry -------------------------------------------------------------

_LOCK = threading.Lock()
_ACTING: set[object] = set()
_OURS: dict[str, AttentionFunction] = {}


def install() -> None:
    """Put our functions into transformers' registry, around those that it has now."""
    registry = AttentionInterface._global_mapping
    if all(registry.get(kernel) is _OURS.get(kernel) for kernel in KERNELS) and _OURS:
        return
    with _LOCK:
        for kernel in KERNELS:
            stock = registry.get(kernel)
            if stock is None or stock is not _OURS.get(kernel):
                _OURS[kernel] = _dispatcher(kernel, stock)
                AttentionInterface.register(kernel, _OURS[kernel])


def _dispatcher(kernel: str, stock: AttentionFunction | None) -> AttentionFunction:
    """A function for the registry: the stock one, or what acts in the caller's context."""

    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        function = stock or eager_of(type(module))
        # Compiled layers have one graph for calls without prompts. While any session is open they use
        # another, which leaves the graph here to look up the session of the call.
        if torch.compiler.is_dynamo_compiling():
            if not _SOMETHING_MAY_ACT:
                return function(module, query, key, value, attention_mask, *args, **kwargs)
            outside: Any = _outside_of_graphs
            return outside(attention, module, query, key, value, attention_mask, *args, **kwargs)
        # One of ours that somebody's own function is wrapped around has a newer one before it.
        if _OURS[kernel] is not attention:
            return function(module, query, key, value, attention_mask, *args, **kwargs)
        if _INTERCEPTION.get() is None and not _WATCHES.get():
            return function(module, query, key, value, attention_mask, *args, **kwargs)
        kwargs |= _named(function, args)
        return answered(AttentionCall(function, kernel, module, query, key, value, attention_mask, kwargs))

    return attention


@torch._dynamo.disable
def _outside_of_graphs(attention: AttentionFunction, *args: Any, **kwargs: Any) -> Any:
    return attention(*args, **kwargs)


@contextmanager
def may_act() -> Iterator[None]:
    """Within this context something may answer attention calls, in whatever thread."""
    user = object()
    with undone(lambda: _note(_ACTING.discard, user)):
        _note(_ACTING.add, user)
        yield


def _note(change: Callable[[object], None], user: object) -> None:
    global _SOMETHING_MAY_ACT
    with _LOCK:
        change(user)
        _SOMETHING_MAY_ACT = bool(_ACTING)


def _named(function: AttentionFunction, args: tuple[Any, ...]) -> dict[str, Any]:
    """Further positional arguments (a scale, a dropout) by their names."""
    if not args:
        return {}
    names = list(inspect.signature(function).parameters)[5:]
    return dict(zip(names, args, strict=False))


def quick(call: AttentionCall) -> AttentionCall:
    """The same call, answered with a faster backward pass where there is one (see `cpu_backward.py`)."""
    if call.kernel != "sdpa" or not call.may_go_back_quicker:
        return call
    return replace(call, stock=partial(_quick_sdpa, call.stock))


def _quick_sdpa(
    stock: AttentionFunction,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    # The stock function refuses some options (softcap) itself.
    call = AttentionCall(stock, "sdpa", module, query, key, value, mask, kwargs)
    if any(kwargs.get(name) is not None for name in ("position_bias", "cache", "softcap")):
        return call.as_usual()
    seen = call.read_mask()
    if not cpu_backward.pays(query, key, value, seen, call.dropout):
        return call.as_usual()

    def forward(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return stock(module, query, key, value, mask, **kwargs)[0]

    return cpu_backward.attend(forward, query, key, value, seen, call.scale), None


@cache
def eager_of(attention: type[nn.Module]) -> AttentionFunction:
    """The eager function that a family's attention names in its own code; it is registered nowhere."""
    for cls in attention.__mro__:
        forward = inspect.unwrap(cls.__dict__["forward"]) if "forward" in cls.__dict__ else None
        code = getattr(forward, "__code__", None)
        for name in () if code is None else code.co_names:
            if name.endswith("eager_attention_forward") and name in forward.__globals__:  # type: ignore[union-attr]
                return forward.__globals__[name]  # type: ignore[union-attr]
    for cls in attention.__mro__:
        function = getattr(sys.modules[cls.__module__], "eager_attention_forward", None)
        if function is not None:
            return function
    raise BackboneError(
        attention.__name__,
        "an attention without an eager function",
        "one in its family's file",
        "load the model with attention='sdpa'",
    )


def answered_by(call: AttentionCall, stock: AttentionFunction) -> AttentionCall:
    """The same call with another stock function."""
    return replace(call, stock=stock)


install()
