"""A session: prompts that are active in the calls of a context, from its beginning to its end."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
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
    may_act,
    without_plans,
)
from softprompt.backbones.dispatch import (
    DispatchedForward,
    Gate,
    Override,
    overriding,
    stand,
    stand_again,
    standing,
    step_off,
    without_overrides,
)
from softprompt.backbones.injection import generation, refusals
from softprompt.backbones.injection.injector import PassContext, used_prompts
from softprompt.backbones.injection.injectors import Injectors
from softprompt.backbones.injection.lowering import LoweredPrompts, input_weight, lower_all
from softprompt.backbones.injection.stray import Stray, still_acting
from softprompt.backbones.injection.weights import Weights, trained_weights
from softprompt.backbones.inspection import ModelMap, unmasked
from softprompt.backbones.runtime import (
    check_averaged,
    keep_context,
    refusing_stale_gradients,
    resumed_by,
)
from softprompt.errors import BackboneError
from softprompt.prompts import Prompt


class Session:
    """Prompts that calls of one context run under. Enter it through `Backbone.prompted`.

    It holds nothing of a call: what prompts hold is read when an outermost call begins, and belongs to that
    call until it ends, also when the session is closed meanwhile.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
        prompts: one or several; None stands for no prompt.
        rows: for each batch row, which prompt; None when one prompt serves all rows.
        as_tokens: run deep visual prompts as tokens.
    """

    def __init__(
        self,
        model_map: ModelMap,
        gate: Gate,
        prompts: Sequence[Prompt | None],
        rows: Sequence[int] | None,
        as_tokens: bool = False,
    ):
        self.model_map = model_map
        self.gate = gate
        self.prompts = prompts
        self.rows = None if rows is None else torch.tensor(rows, dtype=torch.long)
        self.as_tokens = as_tokens
        self.closed = False
        self._used = used_prompts(prompts, self.rows)
        self.weights = Weights(model_map.model, trained_weights(self._used), model_map.spec.name)
        self.injectors = Injectors(model_map, prompts, self.rows, as_tokens)
        self._held = ExitStack()
        self._undo = ExitStack()
        self._lock = threading.RLock()
        self._holders: set[object] = set()
        self._stray: Stray | None = None

    @contextmanager
    def opened(self) -> Iterator["Session"]:
        """Within this context its calls are this session's; an interrupt anywhere leaves nothing behind."""
        self._check_kernels()
        try:
            self._held.enter_context(self._holding())
            self._held.enter_context(refusing_stale_gradients(self._parameters()))
            self.gate.enter(self)
            self._stray = self._refusing_stray()
            intercept(self._stray)
            yield self
        finally:
            # An interrupt (Ctrl-C) may come meanwhile; what was undone may be undone again.
            try:
                self._close()
            except BaseException:
                self._close()
                raise

    def _close(self) -> None:
        self.closed = True
        if self._stray is not None and interception() is self._stray:
            intercept(still_acting(self._stray))
        self.gate.leave(self)
        self._held.close()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Within this context calls are this session's, whatever thread or task it is."""
        stand_again(self.model_map.entries)
        # Inside a call of the same model, as guidance makes them, what acts in that call stays outside.
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
        """What the session needs stands on the model until the last of those who hold it leaves."""
        holder = object()
        try:
            with self._lock:
                if not self._holders:
                    self._undo.enter_context(self._standing())
                self._holders.add(holder)
            yield
        finally:
            # An interrupt (Ctrl-C) may come meanwhile; what was undone may be undone again.
            try:
                self._release(holder)
            except BaseException:
                self._release(holder)
                raise

    def _release(self, holder: object) -> None:
        with self._lock:
            self._holders.discard(holder)
            if not self._holders:
                self._undo.close()

    @contextmanager
    def _standing(self) -> Iterator[None]:
        """What stands on the model: its entries ask whose a call is, further forwards can be overridden."""
        model_map = self.model_map
        guard = answer_for(self.gate)
        with ExitStack() as stack:
            stack.enter_context(without_plans(input_weight(model_map).device))
            if model_map.vision is not None:
                stack.enter_context(unmasked(model_map.model))
            may_act(1)
            stack.callback(may_act, -1)
            for module in self._entries:
                stand(module, "forward", guard, (*model_map.entries, *self.injectors.modules))
                stack.callback(step_off, module, "forward")
            for name in ("generate", "zero_grad", "init_continuous_batching"):
                if hasattr(type(model_map.model), name):
                    stand(model_map.model, name, guard)
                    stack.callback(step_off, model_map.model, name)
            stack.enter_context(standing(self.injectors.modules))
            yield

    @property
    def _entries(self) -> list[nn.Module]:
        """Modules whose calls from the outside are calls of the session.

        Where tensors of the model learn, its embeddings and what turns states into words too: others call
        them by hand, before or behind the model, and would get the frozen ones.
        """
        entries = list(self.model_map.entries)
        if self.weights.own:
            model = self.model_map.model
            held = {module for places in self.weights.places.values() for module, _ in places}
            ends = (model.get_input_embeddings(), model.get_output_embeddings())
            entries += [end for end in ends if end in held and end not in entries]
        return entries

    @property
    def learns(self) -> bool:
        """Whether some tensor of the prompts that rows have takes gradients."""
        return any(parameter.requires_grad for parameter in self._parameters())

    def _parameters(self) -> Iterator[nn.Parameter]:
        for prompt in self._used:
            yield from () if prompt is None else prompt.parameters()

    def rows_for(self, batch: int) -> Tensor | None:
        """Which prompt each row of a batch has, `[batch]`; None when one prompt serves all.

        Raises:
            PromptError: the batch has another number of rows.
        """
        return PassContext(self.prompts, self.rows, LoweredPrompts.none()).rows_for(batch)

    # -- calls -----------------------------------------------------------------------------------

    @contextmanager
    def answer(
        self, entry: DispatchedForward, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Callable[[Any], None]]:
        """Within this context a call at one of the model's entries runs under the prompts."""
        if torch.compiler.is_exporting():
            raise refusals.exported(self.model_map.spec.name)
        generating = entry.name == "generate"
        if generating:
            generation.check(self.injectors, self.rows, args, kwargs)
        whole = entry.module in (self.model_map.model, self.model_map.model.base_model)
        with self.call(generating) as call:
            learns = whole and not generating and torch.is_grad_enabled() and call.lowered.learns
            if learns and torch.distributed.is_available() and torch.distributed.is_initialized():
                check_averaged(self._parameters())
            try:
                yield self._check_gradient if learns else _nothing
            except Unsupported as error:
                raise refusals.not_in_a_graph(self.model_map.spec.name) from error

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
        with ExitStack() as stack:
            # The session may be closed while the call runs; what it needs stands until it ends.
            stack.enter_context(self._holding())
            stack.enter_context(self.gate.turn(alone=bool(self.weights.own)))
            # `generate` takes no gradients, and begins before it says so.
            learning = torch.is_grad_enabled() and not generating
            weights: Mapping[str, Tensor] = {}
            if self.weights.own:
                if not self.weights.are_in_place():
                    self.weights = Weights(self.model_map.model, trained_weights(self._used), self.gate.name)
                with torch.set_grad_enabled(learning):
                    weights = self.weights.cast(trained_weights(self._used))
                stack.enter_context(self.weights.overriding(weights))
            with torch.set_grad_enabled(learning):
                lowered = self._lower(weights)
            call = PassContext(self.prompts, self.rows, lowered, generating)
            self._tell_positions(call)
            self._check_kernels()
            self._keep_checkpointing(stack, call)
            stack.enter_context(self._acting(call))
            call.running = True
            stack.callback(_end, call)
            yield call

    def _lower(self, weights: Mapping[str, Tensor]) -> LoweredPrompts:
        """The prompts' tensors as they are now."""
        modules = self.injectors.layer_modules
        alone = modules.alone if modules.places else nullcontext
        with self.gate.calling(None), without_overrides(self.injectors.modules):
            return lower_all(self.model_map, self.prompts, self._used, self.as_tokens, alone, weights)

    def _tell_positions(self, call: PassContext) -> None:
        """What passes that begin above some layer must know of the text's positions."""
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
        """Within this context the injectors act, for its calls alone."""
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
        """Somebody may have chosen another kernel since the model was loaded."""
        for config in self.injectors.configs:
            if getattr(config, "_attn_implementation", "sdpa") != "sdpa":
                check_kernel(config)

    def _keep_checkpointing(self, stack: ExitStack, call: PassContext) -> None:
        """Make gradient checkpointing exact, or refuse it."""
        if not torch.is_grad_enabled():
            return
        layers = [m for m in self.model_map.checkpointable if m.gradient_checkpointing and m.training]
        if not layers:
            return
        if self.injectors.shares_modules:
            raise BackboneError(
                "gradient checkpointing",
                "layers that share one module",
                "a module for every layer, since shared ones that run again would not know their prompts",
            )
        call.lowered.tables.recomputed = True
        keep_context(layers)
        stack.enter_context(resumed_by(lambda: self._resumed(call)))

    @contextmanager
    def _resumed(self, call: PassContext) -> Iterator[None]:
        """A checkpointed layer of a call runs again: what stood on the model then must stand there now."""
        if call.running:
            yield
            return
        with ExitStack() as stack:
            stack.enter_context(self._holding())
            stack.enter_context(self.gate.turn(alone=bool(call.lowered.weights)))
            stack.enter_context(self.weights.overriding(call.lowered.weights))
            yield

    def _check_gradient(self, output: Any) -> None:
        tensors = output.values() if isinstance(output, Mapping) else output
        tensors = [tensors] if isinstance(tensors, Tensor) else tensors
        found = [t for t in tensors if isinstance(t, Tensor)]
        if found and not any(t.requires_grad for t in found):
            raise refusals.no_gradient(self.model_map.spec.name)


def _end(call: PassContext) -> None:
    """Let go of what came out of a call: recomputed layers keep the call, and it would hold on to them."""
    call.running = False
    call.own_states = None
    call.notes.clear()


def _nothing(output: Any) -> None:
    """Nothing is asked of an output."""


def answer_for(gate: Gate) -> Callable[..., Any]:
    """What is asked at the entries of a backbone's model: whose call it is.

    A call from the outside gets the session of the context (thread, task) in which it runs. Where there is
    none and others have one, it is refused, since with or without a prompt would each be what half of its
    callers did not mean.
    """

    @contextmanager
    def answer(
        entry: DispatchedForward, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Callable[[Any], None]]:
        session: Session | None = gate.session
        if entry.name == "zero_grad":
            if session is not None and session.learns:
                raise refusals.nothing_would_train(gate.name)
            yield _nothing
        elif entry.name == "init_continuous_batching":
            raise refusals.own_threads(gate.name)
        elif gate.is_within:
            yield _nothing
        elif session is not None:
            with session.answer(entry, args, kwargs) as given:
                yield given
        elif gate.n_open:
            # Whoever reads what a refused `generate` would have streamed must not wait for ever.
            if hasattr(kwargs.get("streamer"), "end"):
                kwargs["streamer"].end()
            raise refusals.naked_call(gate.name)
        else:
            with gate.turn(alone=False), gate.calling(None):
                yield _nothing

    return answer
