"""The state of calls in a context: which session they belong to, and which forwards are overridden.

Context variables hold this state, so any number of threads and tasks can use one model at once.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from softprompt.backbones.dispatch.undoing import setting, undone
from softprompt.errors import BackboneError

Forward = Callable[..., Any]

Override = Callable[..., Any]
"""Runs in place of a module's forward. Its arguments: the forward that it overrides, then the call's own."""

OVERRIDES: ContextVar[Mapping[nn.Module, tuple[Override, ...]]] = ContextVar(
    "overrides", default=MappingProxyType({})
)
"""The overrides of each module in this context, the outermost first."""

_SESSIONS: "ContextVar[Mapping[Gate, Any]]" = ContextVar("sessions", default=MappingProxyType({}))
_TURNS: "ContextVar[Mapping[Gate, _Turn]]" = ContextVar("turns", default=MappingProxyType({}))
_CALLS: "ContextVar[Mapping[Gate, Any]]" = ContextVar("calls", default=MappingProxyType({}))


@contextmanager
def overriding(
    overrides: Mapping[nn.Module, Override | tuple[Override, ...]], outermost: bool = False
) -> Iterator[None]:
    """Within this context, and for its calls alone, forwards are overridden.

    The modules must be dispatched for as long (see `dispatching`).

    Args:
        overrides: by module; of several the first is the outermost.
        outermost: whether these run around the overrides of an enclosing context, or inside them.
    """
    active = dict(OVERRIDES.get())
    for module, override in overrides.items():
        added = override if isinstance(override, tuple) else (override,)
        there = active.get(module, ())
        active[module] = added + there if outermost else there + added
    with setting(OVERRIDES, active):
        yield


@contextmanager
def without_overrides(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within this context, and for its calls alone, these modules run as they are."""
    plain = set(modules)
    with setting(OVERRIDES, {m: chain for m, chain in OVERRIDES.get().items() if m not in plain}):
        yield


def overridden(module: nn.Module) -> bool:
    """Whether a module's forward is overridden in this context."""
    return module in OVERRIDES.get()


def bound_arguments(signature: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by their names.

    Args:
        signature: of the forward.
        args: of the call.
        kwargs: of the call.
    """
    given = signature.bind_partial(*args, **kwargs).arguments
    return {**given.pop("kwargs", {}), **given}


class Gate:
    """The sessions that are open on one backbone, and the calls that run under them.

    The session and the call are looked up in the context (thread, task) of the caller.

    Args:
        name: of the backbone, for errors.
    """

    def __init__(self, name: str):
        self.name = name
        self._open: set[Any] = set()
        self._turns = _Turns()
        self.one_at_a_time = threading.RLock()
        """Held by calls of a model that keeps something between them."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Gate":
        return Gate(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Gate, (self.name,)

    # -- sessions --------------------------------------------------------------------------------

    @property
    def session(self) -> Any:
        """The session of this context, if it is open; else None."""
        session = _SESSIONS.get().get(self)
        return None if session is None or session.closed else session

    @property
    def is_within(self) -> bool:
        """Whether this context is inside an outermost call, or inside a pass of the library's own."""
        return self in _CALLS.get()

    @property
    def call(self) -> Any:
        """The outermost call that runs in this context; None where there is none."""
        return _CALLS.get().get(self)

    @property
    def n_open(self) -> int:
        """How many sessions are open, in all threads."""
        return len(self._open)

    @contextmanager
    def entered(self, session: Any) -> Iterator[None]:
        """Within this context calls belong to a session, even inside the context of another one."""
        others = {gate: call for gate, call in _CALLS.get().items() if gate is not self}
        with setting(_CALLS, others), setting(_SESSIONS, {**_SESSIONS.get(), self: session}):
            yield

    def enter(self, session: Any) -> None:
        """From now on calls of this context belong to a session."""
        self._open.add(session)
        _SESSIONS.set({**_SESSIONS.get(), self: session})

    def leave(self, session: Any) -> None:
        """From now on calls of this context do not belong to this session.

        A generator that is not run to its end may be closed in another context than the one it began in;
        nothing is to be undone there. To leave twice does no harm.
        """
        self._open.discard(session)
        if _SESSIONS.get().get(self) is session:
            _SESSIONS.set({gate: other for gate, other in _SESSIONS.get().items() if gate is not self})

    # -- calls -----------------------------------------------------------------------------------

    @contextmanager
    def calling(self, call: Any) -> Iterator[None]:
        """Within this context calls of the model are parts of this one; None: of the library's own passes."""
        with setting(_CALLS, {**_CALLS.get(), self: call}):
            yield

    @contextmanager
    def turn(self, alone: bool) -> Iterator[None]:
        """Within this context a call runs, beside any others or alone.

        Args:
            alone: whether no other call may run at the same time, as the model's own tensors are replaced.

        Raises:
            BackboneError: a call inside another, where one of them must run alone.
        """
        # A context that was copied during a call (a checkpointed layer's, a task's) may outlive the call.
        outer = _TURNS.get().get(self)
        if outer is not None and outer.held:  # a call inside a call
            if alone or outer.alone:
                raise BackboneError(
                    "prompted",
                    f"a view called inside another call of {self.name}, where one of them has a prompt with "
                    "weights of its own",
                    "calls one after the other, since all that runs at once has the same weights",
                    "let the outer call end first, or use prompts without weights",
                )
            yield
            return
        with self._turns.taken(alone) as turn, setting(_TURNS, {**_TURNS.get(), self: turn}):
            yield


@dataclass(eq=False)
class _Turn:
    """A call that runs.

    Args:
        alone: whether no other call may run at the same time.
        held: whether the call still runs.
    """

    alone: bool
    held: bool = True


class _Turns:
    """Lets any number of calls run at once, or one alone; calls that come later wait for that one."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._running: set[_Turn] = set()
        self._waiting_alone: set[object] = set()

    @contextmanager
    def taken(self, alone: bool) -> Iterator[_Turn]:
        turn = _Turn(alone)
        with undone(lambda: self._end(turn)):
            with self._free:
                self._wait(alone)
                self._running.add(turn)
            yield turn

    def _end(self, turn: _Turn) -> None:
        turn.held = False
        with self._free:
            self._running.discard(turn)
            self._free.notify_all()

    def _wait(self, alone: bool) -> None:
        if not alone:
            self._free.wait_for(lambda: not any(t.alone for t in self._running) and not self._waiting_alone)
            return
        waiting = object()
        with undone(lambda: self._end_waiting(waiting)):
            self._waiting_alone.add(waiting)
            self._free.wait_for(lambda: not self._running)

    def _end_waiting(self, waiting: object) -> None:
        with self._free:
            self._waiting_alone.discard(waiting)
            self._free.notify_all()
