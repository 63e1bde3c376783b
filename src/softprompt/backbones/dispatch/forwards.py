"""Forwards of a live model's modules, overridden for the calls of one context alone.

What acts in a call is held by a context variable: the overrides of each module, as the caller's own context
has them. On the module itself stands only a `DispatchedForward`, the same for everybody, which asks for them
and otherwise runs what stood there before. So any number of threads run one model at once, each with its own
overrides or with none, whether they call `module(...)` or `module.forward(...)`.
"""

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from softprompt.backbones.dispatch.replaced import before, is_missing, restore

Forward = Callable[..., Any]

Override = Callable[[Forward, tuple[Any, ...], dict[str, Any]], Any]
"""Runs in place of a module's forward: takes the forward below it, its arguments and keywords."""

Guard = Callable[["DispatchedForward", tuple[Any, ...], dict[str, Any]], Any]
"""Asked first by a dispatched forward; calls its `run` sooner or later, or refuses."""

_OVERRIDES: ContextVar[Mapping[nn.Module, tuple[Override, ...]]] = ContextVar(
    "overrides", default=MappingProxyType({})
)
_LOCK = threading.RLock()
_STANDING: "WeakKeyDictionary[nn.Module, dict[str, DispatchedForward]]" = WeakKeyDictionary()


class DispatchedForward:
    """Stands in a module's `__dict__` in place of its `forward` (or `generate`) while somebody needs it.

    Args:
        module: the module.
        name: of the method.
        guard: asked first at the entries of a model.
        dead: passes everything to what stands below, for ever.
    """

    def __init__(self, module: nn.Module, name: str, guard: Guard | None = None, dead: bool = False):
        self.module = module
        self.name = name
        self.guard = guard
        self.dead = dead
        self.users = 0
        self.before = before(vars(module), name)

    @property
    def below(self) -> Forward:
        """What stood there before: somebody's own, or the class's method."""
        if is_missing(self.before):
            return getattr(type(self.module), self.name).__get__(self.module)
        return self.before  # type: ignore[return-value]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The call, as the caller's context has it."""
        if self.dead:
            return self.below(*args, **kwargs)
        # A graph compiled by torch cannot ask whose call it is, so it is left here.
        if torch.compiler.is_dynamo_compiling():
            return _run_eagerly(self, args, kwargs)
        return self._answer(args, kwargs)

    def _answer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.guard is not None:
            return self.guard(self, args, kwargs)
        return self.run(args, kwargs)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The forward under the overrides of this context."""
        chain = _OVERRIDES.get().get(self.module, ()) if self.name == "forward" else ()
        return _run(chain, self.below, args, kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.below)

    @property
    def __code__(self) -> Any:
        return self.below.__code__  # type: ignore[attr-defined]  # `torch.export` reads it

    def __deepcopy__(self, memo: dict[int, Any]) -> "DispatchedForward":
        # A copied module is nobody's yet: what was put on the original is nothing to it.
        return _of_copy(memo.get(id(self.module), self.module), self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_copy, (self.module, self.name)


def _of_copy(module: nn.Module, name: str) -> DispatchedForward:
    copied = DispatchedForward.__new__(DispatchedForward)
    copied.module, copied.name, copied.guard, copied.dead, copied.users = module, name, None, True, 0
    copied.before = before({}, name)
    return copied


@torch._dynamo.disable
def _run_eagerly(dispatched: DispatchedForward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return dispatched._answer(args, kwargs)


def _run(chain: tuple[Override, ...], below: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not chain:
        return below(*args, **kwargs)
    first, rest = chain[0], chain[1:]
    if not rest:
        return first(below, args, kwargs)
    return first(lambda *a, **k: _run(rest, below, a, k), args, kwargs)


def stand(module: nn.Module, name: str = "forward", guard: Guard | None = None) -> None:
    """Have a module's method dispatched, until as many calls of `step_off` have come."""
    with _LOCK:
        here = _STANDING.setdefault(module, {})
        if name not in here:
            here[name] = vars(module)[name] = DispatchedForward(module, name)
        here[name].users += 1
        if guard is not None:
            here[name].guard = guard


def step_off(module: nn.Module, name: str = "forward", guard: Guard | None = None) -> None:
    """Undo one `stand`; the last one takes off what was put there, and nothing else.

    Args:
        module: the module.
        name: of the method.
        guard: the guard that goes with it.
    """
    with _LOCK:
        here = _STANDING[module]
        dispatched = here[name]
        dispatched.users -= 1
        if guard is not None and dispatched.guard == guard:
            dispatched.guard = None
        if dispatched.users:
            return
        del here[name]
        if not restore(vars(module), name, dispatched, dispatched.before):
            dispatched.dead = True  # somebody else has wrapped it meanwhile


@contextmanager
def standing(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within this context the forwards of these modules are dispatched."""
    placed: list[nn.Module] = []
    try:
        for module in modules:
            stand(module)
            placed.append(module)
        yield
    finally:
        for module in placed:
            step_off(module)


@contextmanager
def overriding(
    overrides: Mapping[nn.Module, Override | tuple[Override, ...]], outermost: bool = False
) -> Iterator[None]:
    """Within this context, and for its calls alone, forwards are overridden.

    The modules must be dispatched meanwhile (`standing`).

    Args:
        overrides: by module; of several the first is the outermost.
        outermost: whether they stand around those of an outer context, or inside.
    """
    active = dict(_OVERRIDES.get())
    for module, override in overrides.items():
        added = override if isinstance(override, tuple) else (override,)
        there = active.get(module, ())
        active[module] = added + there if outermost else there + added
    token = _OVERRIDES.set(active)
    try:
        yield
    finally:
        _OVERRIDES.reset(token)


@contextmanager
def without_overrides(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within this context, and for its calls alone, these modules run as they are."""
    gone = set(modules)
    token = _OVERRIDES.set({m: chain for m, chain in _OVERRIDES.get().items() if m not in gone})
    try:
        yield
    finally:
        _OVERRIDES.reset(token)


def overridden(module: nn.Module) -> bool:
    """Whether a module's forward is overridden in this context."""
    return module in _OVERRIDES.get()
