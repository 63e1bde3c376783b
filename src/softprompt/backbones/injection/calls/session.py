"""A session: the prompts of one context's calls, and what each outermost call does under them."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import Unsupported

from softprompt.backbones.attention import (
    Interception,
    answering,
    check_kernel,
    intercept,
    intercepting,
    interception,
)
from softprompt.backbones.dispatch import (
    DispatchedForward,
    Gate,
    Override,
    dispatch_again,
    overriding,
    undone,
    without_overrides,
)
from softprompt.backbones.injection import refusals
from softprompt.backbones.injection.calls import generation
from softprompt.backbones.injection.calls.entries import dispatched_entries
from softprompt.backbones.injection.calls.keeping import keeping
from softprompt.backbones.injection.calls.stray import Stray, still_acting
from softprompt.backbones.injection.injector import PassContext, used_prompts
from softprompt.backbones.injection.injectors import Injectors
from softprompt.backbones.injection.lowering import LoweredPrompts, lower_all
from softprompt.backbones.injection.weights import Weights, trained_weights
from softprompt.backbones.inspection import ModelMap
from softprompt.backbones.runtime import (
    check_averaged,
    check_backward,
    keep_context,
    refusing_stale_gradients,
    resumed_by,
)
from softprompt.errors import BackboneError
from softprompt.prompts import Prompt


class Session:
    """Prompts that the calls of one context run under. Enter a session through `Backbone.prompted`.

    A session holds nothing of a call. The prompts' tensors are read when an outermost call begins, and belong
    to that call until the call ends, even if the session is closed before.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
        prompts: one or several; None is no prompt.
        rows: for each batch row the index of its prompt; None when one prompt serves all rows.
        as_tokens: run deep visual prompts as tokens.
        as_columns: see `Injectors`.
    """

    def __init__(
        self,
        model_map: ModelMap,
        gate: Gate,
        prompts: Sequence[Prompt | None],
        rows: Sequence[int] | None,
        as_tokens: bool = False,
        as_columns: bool = False,
    ):
        self.model_map = model_map
        self.gate = gate
        self.prompts = prompts
        self.rows = None if rows is None else torch.tensor(rows, dtype=torch.long)
        self.as_tokens = as_tokens
        self.closed = False
        self._used = used_prompts(prompts, self.rows)
        self.weights = Weights(model_map.model, trained_weights(self._used), model_map.spec.name)
        self.injectors = Injectors(model_map, prompts, self.rows, as_tokens, as_columns)
        self._quantised = model_map.quantised
        self._entries: AbstractContextManager[None] | None = None
        self._lock = threading.RLock()
        self._holders: set[object] = set()
        self._stray: Stray | None = None

    @contextmanager
    def opened(self) -> Iterator["Session"]:
        """Within this context calls are this session's; an interrupt at any point leaves nothing behind."""
        self._check_kernels()
        with self._holding(), refusing_stale_gradients(self._parameters()), undone(self._close):
            self.gate.enter(self)
            self._stray = self._refusing_stray()
            intercept(self._stray)
            yield self

    def _close(self) -> None:
        self.closed = True
        if self._stray is not None and interception() is self._stray:
            intercept(still_acting(self._stray))
        self.gate.leave(self)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Within this context calls are this session's, in any thread or task."""
        dispatch_again(self.model_map.entries)
        # A call inside a call of the same model (classifier-free guidance) takes nothing from the outer one.
        inside = self.gate.call is not None
        others = without_overrides(self.model_map.model.modules()) if inside else nullcontext()
        with others, self.gate.entered(self), intercepting(self._refusing_stray()):
            yield

    def _refusing_stray(self) -> Stray:
        has_prompts = any(prompt is not None for prompt in self.prompts)
        name, closed = self.model_map.spec.name, lambda: self.closed
        return Stray(self.injectors.attentions, has_prompts, name, closed, interception())

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """Within this context the model's entries are dispatched; the last holder to leave restores them."""
        holder = object()
        with undone(lambda: self._release(holder)):
            with self._lock:
                if self._entries is None:
                    entries = dispatched_entries(self.model_map, self.gate, self.injectors, self.weights)
                    entries.__enter__()
                    self._entries = entries
                self._holders.add(holder)
            yield

    def _release(self, holder: object) -> None:
        with self._lock:
            self._holders.discard(holder)
            if not self._holders and self._entries is not None:
                self._entries.__exit__(None, None, None)
                self._entries = None

    @property
    def learns(self) -> bool:
        """Whether some tensor of the prompts that rows have takes gradients."""
        return any(parameter.requires_grad for parameter in self._parameters())

    def _parameters(self) -> Iterator[nn.Parameter]:
        for prompt in self._used:
            yield from () if prompt is None else prompt.parameters()

    def active_rows(self, batch: int) -> list[tuple[Prompt | None, Tensor | None]]:
        """Each prompt that has rows in a batch, with their indices, `[row]` (None: all rows).

        Raises:
            PromptError: the batch has another number of rows.
        """
        return PassContext(self.prompts, self.rows, LoweredPrompts.none()).active_rows(batch)

    # -- calls -----------------------------------------------------------------------------------

    @contextmanager
    def answer(
        self, entry: DispatchedForward, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Callable[[Any], None]]:
        """Within this context a call at one of the model's entries runs under the prompts.

        Args:
            entry: the method that was called.
            args: of the call.
            kwargs: of the call.

        Yields:
            A check of the call's output.
        """
        name = self.model_map.spec.name
        if torch.compiler.is_exporting():
            raise refusals.exported(name)
        generating = entry.name == "generate"
        if generating:
            generation.check(self.injectors, self.rows, args, kwargs)
        whole = entry.module in (self.model_map.model, self.model_map.base)
        with keeping(self.model_map.kept, self.gate, kwargs) as kept, self.call(generating) as call:
            learns = whole and not generating and torch.is_grad_enabled() and call.lowered.learns
            if learns and torch.distributed.is_available() and torch.distributed.is_initialized():
                check_averaged(self._parameters())
            try:
                check = partial(refusals.check_gradient, name=name) if learns else refusals.unchecked
                yield kept(check)
            except Unsupported as error:
                raise refusals.not_in_a_graph(name) from error

    @contextmanager
    def call(self, generating: bool = False) -> Iterator[PassContext]:
        """Within this context all calls of the model are parts of one outermost call under the prompts.

        Args:
            generating: whether the call is `generate`.
        """
        running = self.gate.call
        if running is not None:
            yield running
            return
        # `generate` switches gradients off only after this point.
        learning = torch.is_grad_enabled() and not generating
        if learning and self._quantised and self.learns:
            check_backward(self.model_map.model, self._quantised, self.model_map.spec.name)
        # The session may be closed while the call runs; the entries stay dispatched until the call ends.
        with (
            self._holding(),
            self.gate.turn(alone=bool(self.weights.own)),
            self._weighted(learning) as weights,
        ):
            with torch.set_grad_enabled(learning):
                lowered = self._lower(weights)
            call = PassContext(self.prompts, self.rows, lowered, generating)
            self._set_positions(call)
            self._check_kernels()
            with self._recomputable(call), self._acting(call), undone(lambda: _end(call)):
                call.running = True
                yield call

    @contextmanager
    def _weighted(self, learning: bool) -> Iterator[Mapping[str, Tensor]]:
        """Within this context the model has the tensors that a prompt trains, which are given too."""
        if not self.weights.own:
            yield {}
            return
        if not self.weights.are_in_place():
            self.weights = Weights(self.model_map.model, trained_weights(self._used), self.gate.name)
        with torch.set_grad_enabled(learning):
            weights = self.weights.cast(trained_weights(self._used))
        with self.weights.overriding(weights):
            yield weights

    def _lower(self, weights: Mapping[str, Tensor]) -> LoweredPrompts:
        """The prompts' tensors as they are now."""
        modules = self.injectors.layer_modules
        alone = modules.alone if modules.places else nullcontext
        with self.gate.calling(None), without_overrides(self.injectors.modules):
            return lower_all(
                self.model_map,
                self.prompts,
                self._used,
                self.as_tokens,
                self.injectors.reads_by_layers,
                alone,
                weights,
            )

    def _set_positions(self, call: PassContext) -> None:
        """Give a call what the activation cache needs to know of the text's positions."""
        positions = self.injectors.positions

        def shifts(batch: int) -> Tensor:
            first = next(iter(positions.values()), None)
            if first is None:
                return torch.zeros(batch, dtype=torch.long)
            return first.shifts_of(call.rows_for(batch)).expand(batch)

        @contextmanager
        def below(rows: Tensor) -> Iterator[None]:
            part = PassContext(self.prompts, None if self.rows is None else self.rows[rows], call.lowered)
            overrides: dict[nn.Module, Override] = {}
            for injector in positions.values():
                overrides |= injector.forwards(part)
            with without_overrides(self.injectors.modules), overriding(overrides), intercepting(None):
                yield

        call.text_shifts, call.below = shifts, below

    @contextmanager
    def _acting(self, call: PassContext) -> Iterator[None]:
        """Within this context the injectors act, in its calls alone."""
        overrides: dict[nn.Module, tuple[Override, ...]] = {}
        answers: dict[nn.Module, Interception] = {}
        for injector in self.injectors.all:
            for module, override in injector.forwards(call).items():
                overrides[module] = (*overrides.get(module, ()), override)
            answers |= injector.attentions(call)
        own = self.injectors.attentions
        with self.gate.calling(call), overriding(overrides), answering(answers, own):
            yield

    # -- refusals --------------------------------------------------------------------------------

    def _check_kernels(self) -> None:
        """Refuse a kernel that somebody has chosen since the model was loaded."""
        for config in self.injectors.configs:
            if getattr(config, "_attn_implementation", "sdpa") != "sdpa":
                check_kernel(config)

    def _recomputable(self, call: PassContext) -> AbstractContextManager[None]:
        """Within this context gradient checkpointing is exact under the prompts, or refused."""
        if not torch.is_grad_enabled():
            return nullcontext()
        layers = [m for m in self.model_map.checkpointable if m.gradient_checkpointing and m.training]
        if not layers:
            return nullcontext()
        if self.injectors.shares_modules:
            raise BackboneError(
                "gradient checkpointing",
                "layers that share one module",
                "a module for every layer, since a shared one that runs again cannot tell which layer it is",
            )
        call.lowered.tables.recomputed = True
        keep_context(layers)
        return resumed_by(lambda: self._resumed(call))

    @contextmanager
    def _resumed(self, call: PassContext) -> Iterator[None]:
        """Within this context a checkpointed layer of an earlier call runs again, as in its forward pass."""
        if call.running:
            yield
            return
        own = call.lowered.weights
        with self._holding(), self.gate.turn(alone=bool(own)), self.weights.overriding(own):
            yield


def _end(call: PassContext) -> None:
    """Free what a call computed: layers that are recomputed later keep the call alive."""
    call.running = False
    call.own_states = None
    call.notes.clear()
