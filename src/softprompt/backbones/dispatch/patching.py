"""The only place that puts something on somebody's modules: forwards that ask what acts where a call runs.

What acts in a call is held by a context variable: the overrides of each module, as the caller's own context
has them. On the module itself stands only a `DispatchedForward`, the same for everybody, which asks for them
and otherwise runs what stood there before. So any number of threads run one model at once, each with its own
overrides or with none, whether they call `module(...)` or `module.forward(...)`.
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

Guard = Callable[
    ["DispatchedForward", tuple[Any, ...], dict[str, Any]], AbstractContextManager[Callable[[Any], None]]
]
"""Asked at an entry of a model, with the call's arguments: refuses, or gives a context to run the call in;
what the context gives is told the call's output."""

_LOCK = threading.RLock()
_MISSING = object()
_COUNTS: dict[tuple[int, str], int] = {}
_BEFORE: dict[tuple[int, str], Any] = {}
_STANDING: "WeakKeyDictionary[nn.Module, dict[str, DispatchedForward]]" = WeakKeyDictionary()


class DispatchedForward:
    """Stands in a module's `__dict__` in place of its `forward` (or `generate`) while somebody needs it.

    Args:
        module: the module.
        name: of the method.
        before: what stood there.

    Attributes:
        guard: asked first at the entries of a model.
        gate: calls that are part of one through this gate run without asking the guard; None: all ask.
        dead: whether it passes everything to what stands below, for ever.
        users: calls of `stand` that were not undone yet.
        beside: modules that must be dispatched too when a call begins here.
    """

    def __init__(self, module: nn.Module, name: str, before: object):
        self.module = module
        self.name = name
        self.before = before
        self.guard: Guard | None = None
        self.gate: Gate | None = None
        self.dead = False
        self.users = 0
        self.beside: set[nn.Module] = set()

    @property
    def below(self) -> Forward:
        """What stood there before: somebody's own, or the class's method."""
        if self.before is _MISSING:
            return getattr(type(self.module), self.name).__get__(self.module)
        return self.before  # type: ignore[return-value]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The call, as the caller's context has it."""
        if self.dead:
            return self.below(*args, **kwargs)
        # A graph compiled by torch cannot ask whose call it is, so it is left here.
        if torch.compiler.is_dynamo_compiling():
            eagerly: Any = _run_eagerly
            return eagerly(self, args, kwargs)
        return self._answer(args, kwargs)

    def _answer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.guard is None:
            return self._run(args, kwargs)
        if self.beside.isdisjoint(OVERRIDES.get()):  # not within a call of this model already
            stand_again(self.beside)
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
        # A copied module is nobody's yet: what was put on the original is nothing to it.
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


def stand(
    module: nn.Module,
    name: str = "forward",
    guard: Guard | None = None,
    gate: Gate | None = None,
    beside: Iterable[nn.Module] = (),
) -> None:
    """Have a module's method dispatched, until as many calls of `step_off` have come.

    Args:
        module: the module.
        name: of the method.
        guard: asked first, at an entry of a model.
        gate: of the backbone; calls within one of its calls do not ask the guard. None: all ask.
        beside: modules that must be dispatched too when such a call begins, see `stand_again`.
    """
    with _LOCK:
        here, own = _STANDING.setdefault(module, {}), vars(module)
        if name not in here:
            here[name] = own[name] = DispatchedForward(module, name, own.get(name, _MISSING))
        here[name].users += 1
        here[name].beside.update(beside)
        if guard is not None:
            here[name].guard, here[name].gate = guard, gate


def step_off(module: nn.Module, name: str = "forward") -> None:
    """Undo one `stand`; the last one takes off what was put there, and nothing else."""
    with _LOCK:
        here = _STANDING[module]
        dispatched = here[name]
        dispatched.users -= 1
        if dispatched.users:
            return
        del here[name]
        if not _restore(vars(module), name, dispatched, dispatched.before):
            dispatched.dead = True  # somebody else has wrapped it meanwhile


def stand_again(modules: Iterable[nn.Module]) -> None:
    """Put back what somebody took off who undid changes of their own, made before ours came.

    `mock.patch.object(module, "forward")` and `module.forward = original`, left in another order than they
    were entered, take ours away too. What wraps ours, or may, stays as it is.
    """
    with _LOCK:
        for module in modules:
            for name, dispatched in _STANDING.get(module, {}).items():
                there = vars(module).get(name, _MISSING)
                of_class = getattr(there, "__func__", None) is getattr(type(module), name)
                if there is _MISSING or (of_class and getattr(there, "__self__", None) is module):
                    dispatched.before = there
                    vars(module)[name] = dispatched


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
def replaced(target: object, name: str, value: object) -> Iterator[None]:
    """Within this context the object's own attribute is another; what stood there stands there afterwards.

    Several threads may replace one attribute by equal values at once: the last to leave restores it. What
    somebody else has put over it meanwhile stays.

    Args:
        target: an object with a `__dict__`.
        name: of the attribute.
        value: what stands there meanwhile.
    """
    own = vars(target)
    key = id(target), name
    with _LOCK:
        _COUNTS[key] = _COUNTS.get(key, 0) + 1
        if _COUNTS[key] == 1:
            _BEFORE[key] = own.get(name, _MISSING)
            own[name] = value
    try:
        yield
    finally:
        with _LOCK:
            _COUNTS[key] -= 1
            if _COUNTS[key] == 0:
                del _COUNTS[key]
                _restore(own, name, value, _BEFORE.pop(key))


def _restore(own: dict[str, Any], name: str, value: object, before: object) -> bool:
    """Put back what stood in a `__dict__` before; False where somebody else's now stands over ours."""
    if own.get(name, _MISSING) is not value:
        return False
    if before is _MISSING:
        del own[name]
    else:
        own[name] = before
    return True
