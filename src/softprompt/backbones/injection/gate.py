"""Whose call of a backbone's model this is: a session's, nobody's, or one that must be refused."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from torch import nn

from softprompt.backbones.dispatch import forwards
from softprompt.backbones.dispatch.forwards import DispatchedForward
from softprompt.backbones.injection.injector import PassContext
from softprompt.errors import BackboneError

if TYPE_CHECKING:
    from softprompt.backbones.injection.session import Session

_SESSIONS: "ContextVar[Mapping[Gate, Session]]" = ContextVar("sessions", default=MappingProxyType({}))
_TURNS: "ContextVar[Mapping[Gate, _Turn]]" = ContextVar("turns", default=MappingProxyType({}))
_CALLS: "ContextVar[Mapping[Gate, PassContext | None]]" = ContextVar("calls", default=MappingProxyType({}))


class Gate:
    """What stands at the entries of one backbone's model while sessions are open on it.

    A call from the outside gets the session of the context (thread, task) in which it runs. Where there is
    none and others have one, it is refused, since with or without a prompt would each be what half of its
    callers did not mean. While nobody has a session nothing stands on the model.

    Args:
        name: of the backbone, for errors.
    """

    def __init__(self, name: str):
        self.name = name
        self.n_open = 0
        self._lock = threading.Lock()
        self._turns = _Turns()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Gate":
        return Gate(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Gate, (self.name,)

    # -- sessions --------------------------------------------------------------------------------

    @property
    def session(self) -> "Session | None":
        """The session of this context, if it is open."""
        session = _SESSIONS.get().get(self)
        return None if session is None or session.closed else session

    @property
    def call(self) -> PassContext | None:
        """The outermost call that runs in this context."""
        return _CALLS.get().get(self)

    def count(self, change: int) -> None:
        """Note that a session was opened (1) or closed (-1)."""
        with self._lock:
            self.n_open += change

    @contextmanager
    def entered(self, session: "Session") -> Iterator[None]:
        """Within this context its calls are a session's, also where another was entered outside."""
        calls = _CALLS.set({gate: call for gate, call in _CALLS.get().items() if gate is not self})
        token = _SESSIONS.set({**_SESSIONS.get(), self: session})
        try:
            yield
        finally:
            _SESSIONS.reset(token)
            _CALLS.reset(calls)

    def enter(self, session: "Session") -> None:
        """From now on calls of this context are a session's."""
        _SESSIONS.set({**_SESSIONS.get(), self: session})

    def leave(self, session: "Session") -> None:
        """Calls of this context are nobody's any more, if they were this session's.

        A generator that was left may be closed in another context than it began in; there is nothing to undo.
        """
        if _SESSIONS.get().get(self) is session:
            _SESSIONS.set({gate: other for gate, other in _SESSIONS.get().items() if gate is not self})

    # -- calls -----------------------------------------------------------------------------------

    @contextmanager
    def calling(self, call: PassContext | None) -> Iterator[None]:
        """Within this context calls of the model are parts of this one; None: of the library's own passes."""
        token = _CALLS.set({**_CALLS.get(), self: call})
        try:
            yield
        finally:
            _CALLS.reset(token)

    @contextmanager
    def turn(self, alone: bool) -> Iterator[None]:
        """A call's turn: any number at once, but one alone that changes the model's own tensors meanwhile.

        Raises:
            BackboneError: a call alone inside another.
        """
        # A context that was copied during a call (a checkpointed layer's, a task's) outlives the call's turn.
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
        with self._turns.taken(alone) as turn:
            token = _TURNS.set({**_TURNS.get(), self: turn})
            try:
                yield
            finally:
                _TURNS.reset(token)

    def guard(self, entry: DispatchedForward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of the model at one of its entries."""
        session = self.session
        if entry.name == "zero_grad":
            if session is not None and session.learns:
                raise _nothing_would_train(self.name)
            return entry.run(args, kwargs)
        if entry.name == "init_continuous_batching":
            raise _own_threads(self.name)
        if self in _CALLS.get():
            return entry.run(args, kwargs)
        if session is not None:
            return session.answer(entry, args, kwargs)
        if self.n_open:
            # Whoever reads what a refused `generate` would have streamed must not wait for ever.
            if hasattr(kwargs.get("streamer"), "end"):
                kwargs["streamer"].end()
            raise self.refusal()
        with self.turn(alone=False), self.calling(None):
            return entry.run(args, kwargs)

    def refusal(self) -> BackboneError:
        """The error of a call that belongs to no session while there are some."""
        return BackboneError(
            "prompted",
            f"a call of {self.name} from a thread (or task) without a session while another has one",
            "one that says under which prompts it runs",
            "call the view that `with backbone.prompted(...) as prompted` gives, prompted.generate(...) or "
            "prompted(...), which works in every thread; or enter backbone.prompted(None) in this thread to "
            "run without a prompt",
        )

    @contextmanager
    def standing(self, entries: Sequence[nn.Module], modules: Sequence[nn.Module]) -> Iterator[None]:
        """Within this context calls at the entries are guarded, and forwards of modules can be overridden.

        Args:
            entries: modules at which somebody may call the model; the first may have a `generate`.
            modules: further modules.
        """
        placed: list[tuple[nn.Module, str, Any]] = []

        def place(module: nn.Module, name: str, guard: Callable[..., Any] | None) -> None:
            forwards.stand(module, name, guard)
            placed.append((module, name, guard))

        try:
            for module in entries:
                place(module, "forward", self.guard)
            for name in ("generate", "zero_grad", "init_continuous_batching"):
                if hasattr(type(entries[0]), name):
                    place(entries[0], name, self.guard)
            for module in dict.fromkeys(modules):
                place(module, "forward", None)
            yield
        finally:
            for module, name, _ in reversed(placed):
                forwards.step_off(module, name)


def _own_threads(name: str) -> BackboneError:
    return BackboneError(
        "prompted",
        f"continuous batching of {name}, which packs texts together in a thread of its own",
        "calls that run under this session's prompts",
        "call prompted.generate(...) with a batch (rows=... gives each row its prompt), or leave the session",
    )


def _nothing_would_train(name: str) -> BackboneError:
    return BackboneError(
        "prompted",
        f"zero_grad() of {name}'s frozen model inside a session whose prompt learns",
        "a training loop over the prompt's parameters",
        "give the loop (Trainer, accelerate) softprompt.PromptedModel(backbone, prompt) as its model; in a "
        "loop of your own call optimizer.zero_grad()",
    )


@dataclass
class _Turn:
    """A call's turn.

    Args:
        alone: whether no other call runs meanwhile.
        held: whether it lasts still.
    """

    alone: bool
    held: bool = True


class _Turns:
    """Any number of calls at once, or one alone, for which those that come later wait."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._n_running = 0
        self._n_waiting_alone = 0
        self._alone = False

    @contextmanager
    def taken(self, alone: bool) -> Iterator[_Turn]:
        with self._free:
            self._wait(alone)
            self._n_running += 1
            self._alone = alone
        turn = _Turn(alone)
        try:
            yield turn
        finally:
            turn.held = False
            with self._free:
                self._n_running -= 1
                self._alone = False
                self._free.notify_all()

    def _wait(self, alone: bool) -> None:
        if not alone:
            self._free.wait_for(lambda: not self._alone and not self._n_waiting_alone)
            return
        self._n_waiting_alone += 1
        try:
            self._free.wait_for(lambda: not self._n_running)
        finally:
            self._n_waiting_alone -= 1
            self._free.notify_all()
