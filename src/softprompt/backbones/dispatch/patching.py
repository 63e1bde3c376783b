"""Dispatched methods: the only place that changes attributes of a model's modules.

A context variable holds the overrides of each module, so every context has its own. The module itself gets
one `DispatchedForward` for all callers, which looks the overrides up and otherwise runs the method that was
there before. So any number of threads run one model at once, each with its own overrides or with none,
whether they call `module(...)` or `module.forward(...)`.
"""

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from softprompt.backbones.dispatch.acting import OVERRIDES, Forward, Gate
from softprompt.backbones.dispatch.undoing import undone

Guard = Callable[
    ["DispatchedForward", tuple[Any, ...], dict[str, Any]], AbstractContextManager[Callable[[Any], None]]
]
"""Called at an entry of a model, with the call's arguments. Refuses the call, or gives a context to run the
call in; that context gives a function which is called with the output."""

_LOCK = threading.RLock()
_MISSING = object()
_REPLACED: dict[tuple[int, str], tuple[Any, set[object]]] = {}
"""By object and name of an attribute: the value before `replaced`, and who uses the other one."""
_DISPATCHED: "WeakKeyDictionary[nn.Module, dict[str, DispatchedForward]]" = WeakKeyDictionary()


class DispatchedForward:
    """Takes the place of a module's `forward` (or `generate`) in the module's `__dict__`.

    Args:
        module: the module.
        name: of the method.
        before: the attribute that was there.

    Attributes:
        guard: called first, at an entry of a model.
        gate: of the backbone; the guard is not called inside one of its calls. None: always called.
        dead: whether every call goes straight to the method that was there before.
        users: contexts of `dispatching` that have not been left.
        beside: modules that must be dispatched too when a call begins here.
    """

    def __init__(self, module: nn.Module, name: str, before: object):
        self.module = module
        self.name = name
        self.before = before
        self.guard: Guard | None = None
        self.gate: Gate | None = None
        self.dead = False
        self.users: set[object] = set()
        self.beside: set[nn.Module] = set()

    @property
    def below(self) -> Forward:
        """The method that was there before: the module's own attribute, or its class's method."""
        if self.before is _MISSING:
            return getattr(type(self.module), self.name).__get__(self.module)
        return self.before  # type: ignore[return-value]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the method under the overrides of the caller's context."""
        if self.dead:
            return self.below(*args, **kwargs)
        # A graph compiled by torch cannot look overrides up, so the graph ends here.
        if torch.compiler.is_dynamo_compiling():
            eagerly: Any = _run_eagerly
            return eagerly(self, args, kwargs)
        return self._answer(args, kwargs)

    def _answer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.guard is None:
            return self._run(args, kwargs)
        if self.beside.isdisjoint(OVERRIDES.get()):  # not within a call of this model already
            dispatch_again(self.beside)
        if self.gate is not None and self.gate.is_within:
            return self._run(args, kwargs)
        with self.guard(self, args, kwargs) as given:
            output = self._run(args, kwargs)
            given(output)
        return output

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The forward under the overrides of this context."""
        forward = self.below
        if self.name == "forward":
            for override in reversed(OVERRIDES.get().get(self.module, ())):
                forward = partial(override, forward)
        return forward(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.below)

    @property
    def __code__(self) -> Any:
        return self.below.__code__  # type: ignore[attr-defined]  # `torch.export` reads it

    def __deepcopy__(self, memo: dict[int, Any]) -> "DispatchedForward":
        # Sessions of the original do not extend to its copy.
        return _of_copy(memo.get(id(self.module), self.module), self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_copy, (self.module, self.name)


def _of_copy(module: nn.Module, name: str) -> DispatchedForward:
    copied = DispatchedForward(module, name, _MISSING)
    copied.dead = True
    return copied


@torch._dynamo.disable
def _run_eagerly(dispatched: DispatchedForward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return dispatched._answer(args, kwargs)


@contextmanager
def dispatching(
    modules: Iterable[nn.Module],
    name: str = "forward",
    guard: Guard | None = None,
    gate: Gate | None = None,
    beside: Iterable[nn.Module] = (),
) -> Iterator[None]:
    """Within this context a method of these modules is dispatched.

    Args:
        modules: those that have the method.
        name: of the method.
        guard: called first, at an entry of a model.
        gate: of the backbone; the guard is not called inside one of its calls. None: always called.
        beside: modules that must be dispatched too when such a call begins, see `dispatch_again`.
    """
    modules, user = list(modules), object()

    def undo() -> None:
        for module in modules:
            _undispatch(module, name, user)

    with undone(undo):
        for module in modules:
            dispatched = _dispatch(module, name, user)
            dispatched.beside.update(beside)
            if guard is not None:
                dispatched.guard, dispatched.gate = guard, gate
        yield


def _dispatch(module: nn.Module, name: str, user: object) -> DispatchedForward:
    with _LOCK:
        here, own = _DISPATCHED.setdefault(module, {}), vars(module)
        if name not in here:
            here[name] = own[name] = DispatchedForward(module, name, own.get(name, _MISSING))
        here[name].users.add(user)
        return here[name]


def _undispatch(module: nn.Module, name: str, user: object) -> None:
    """End one use; the last one restores the attribute, unless somebody else has set it since."""
    with _LOCK:
        here = _DISPATCHED.get(module, {})
        dispatched = here.get(name)
        if dispatched is None:
            return
        dispatched.users.discard(user)
        if dispatched.users:
            return
        if not _restore(vars(module), name, dispatched, dispatched.before):
            dispatched.dead = True  # somebody else's wrapper may still call it
        del here[name]


def dispatch_again(modules: Iterable[nn.Module]) -> None:
    """Dispatch modules again where somebody restored an attribute to its value before ours.

    `mock.patch.object(module, "forward")` and `module.forward = original` do that when changes are undone in
    another order than they were made. An attribute that wraps ours, or may wrap it, stays as it is.
    """
    with _LOCK:
        for module in modules:
            for name, dispatched in _DISPATCHED.get(module, {}).items():
                there = vars(module).get(name, _MISSING)
                of_class = getattr(there, "__func__", None) is getattr(type(module), name)
                if there is _MISSING or (of_class and getattr(there, "__self__", None) is module):
                    dispatched.before = there
                    vars(module)[name] = dispatched


@contextmanager
def replaced(target: object, name: str, value: object) -> Iterator[None]:
    """Within this context an object's own attribute has another value; afterwards the former one.

    Several threads may replace one attribute by equal values at once: the last to leave restores it. A value
    that somebody else has set in between stays.

    Args:
        target: an object with a `__dict__`.
        name: of the attribute.
        value: of the attribute within this context.
    """
    own, key, user = vars(target), (id(target), name), object()

    def undo() -> None:
        with _LOCK:
            before, users = _REPLACED.get(key, (_MISSING, None))
            if users is None:
                return
            users.discard(user)
            if not users:
                _restore(own, name, value, before)
                del _REPLACED[key]

    with undone(undo):
        with _LOCK:
            if key not in _REPLACED:
                _REPLACED[key] = own.get(name, _MISSING), set()
                own[name] = value
            _REPLACED[key][1].add(user)
        yield


def _restore(own: dict[str, Any], name: str, value: object, before: object) -> bool:
    """Put a former value back into a `__dict__`; False where somebody else has set another since."""
    if own.get(name, _MISSING) is not value:
        return False
    if before is _MISSING:
        del own[name]
    else:
        own[name] = before
    return True
