"""A session: prompts that are active in the calls of a context, from its beginning to its end."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import Unsupported

from softprompt.backbones.attention.interface import (
    AttentionCall,
    Interception,
    check_kernel,
    intercept,
    intercepting,
    interception,
    may_act,
    quick,
)
from softprompt.backbones.attention.kernels import without_plans
from softprompt.backbones.dispatch import Override, overriding, without_overrides
from softprompt.backbones.dispatch.forwards import DispatchedForward
from softprompt.backbones.injection import generation
from softprompt.backbones.injection.gate import Gate
from softprompt.backbones.injection.injector import LoweredPrompts, PassContext, used_prompts
from softprompt.backbones.injection.injectors import Injectors
from softprompt.backbones.injection.key_value_tables import make_tables
from softprompt.backbones.injection.lowering import Lowered, key_values, lower, vectors
from softprompt.backbones.injection.stray import Stray, still_acting
from softprompt.backbones.injection.vision_lowering import VisualParts, VisualTables, tabulate
from softprompt.backbones.injection.weights import Weights, trained_weights
from softprompt.backbones.inspection import ModelMap, input_weight, unmasked
from softprompt.backbones.runtime import checkpointing
from softprompt.errors import BackboneError
from softprompt.prompts.prompt import Prompt


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
        used = used_prompts(prompts, self.rows)
        self.weights = Weights(model_map.model, trained_weights(used), model_map.spec.name)
        self.injectors = Injectors(model_map, prompts, self.rows, as_tokens)
        self._held = ExitStack()
        self._undo = ExitStack()
        self._lock = threading.RLock()
        self._n_holders = 0

    def __enter__(self) -> "Session":
        self._check_kernels()
        self._held.enter_context(self._holding())
        self.gate.count(1)
        self.gate.enter(self)
        self._stray = self._refusing_stray()
        intercept(self._stray)
        return self

    def __exit__(self, *exc: object) -> None:
        self.closed = True
        if interception() is self._stray:
            intercept(still_acting(self._stray))
        self.gate.leave(self)
        self.gate.count(-1)
        self._held.close()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Within this context calls are this session's, whatever thread or task it is."""
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
        with self._lock:
            self._n_holders += 1
            if self._n_holders == 1:
                self._undo.enter_context(self._standing())
        try:
            yield
        finally:
            with self._lock:
                self._n_holders -= 1
                if self._n_holders == 0:
                    self._undo.close()

    @contextmanager
    def _standing(self) -> Iterator[None]:
        """What stands on the model."""
        model_map = self.model_map
        with ExitStack() as stack:
            stack.enter_context(without_plans(input_weight(model_map.model).device))
            if model_map.vision is not None:
                stack.enter_context(unmasked(model_map.model))
            may_act(1)
            stack.callback(may_act, -1)
            stack.enter_context(self.gate.standing(model_map.entries, self.injectors.modules))
            yield

    @property
    def learns(self) -> bool:
        """Whether some tensor of the prompts that rows have takes gradients."""
        used = used_prompts(self.prompts, self.rows)
        return any(p.requires_grad for prompt in used if prompt is not None for p in prompt.parameters())

    def rows_for(self, batch: int) -> Tensor | None:
        """Which prompt each row of a batch has, `[batch]`; None when one prompt serves all.

        Raises:
            PromptError: the batch has another number of rows.
        """
        return PassContext(self.prompts, self.rows, LoweredPrompts.none()).rows_for(batch)

    # -- calls -----------------------------------------------------------------------------------

    def answer(self, entry: DispatchedForward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An outermost call at one of the model's entries."""
        if torch.compiler.is_exporting():
            raise BackboneError(
                "prompted",
                f"torch.export of {self.model_map.spec.name} inside a session, of which no graph can know",
                "a model that runs as it is",
                "export outside of sessions, or trace with torch.jit.trace under torch.no_grad()",
            )
        generating = entry.name == "generate"
        if generating:
            generation.check(self.injectors, self.rows, args, kwargs)
        with self.call(generating) as call:
            try:
                output = entry.run(args, kwargs)
            except Unsupported as error:
                raise _not_in_a_graph(self.model_map.spec.name) from error
        whole = entry.module in (self.model_map.model, self.model_map.model.base_model)
        if whole and not generating and torch.is_grad_enabled() and call.lowered.learns:
            self._check_gradient(output)
        return output

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
            with torch.set_grad_enabled(learning):
                weights = self.weights.cast(trained_weights(used_prompts(self.prompts, self.rows)))
            stack.enter_context(self.weights.laid(weights))
            with torch.set_grad_enabled(learning):
                lowered = self._lower(weights)
            call = PassContext(self.prompts, self.rows, lowered, generating)
            self._tell_positions(call)
            self._check_kernels()
            self._keep_checkpointing(stack, call)
            stack.enter_context(self._acting(call))
            call.running = True
            stack.callback(setattr, call, "running", False)
            yield call

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
        answer = _by_module(answers, self.injectors.attentions, interception())
        with self.gate.calling(call), overriding(overrides), intercepting(answer):
            yield

    def _lower(self, weights: Mapping[str, Tensor]) -> LoweredPrompts:
        """The prompts' tensors as they are now."""
        with self.gate.calling(None), without_overrides(self.injectors.modules):
            lowered = [None if prompt is None else self._lower_alone(prompt) for prompt in self.prompts]
        visual = VisualTables()
        if self.model_map.vision is not None:
            parts = [entry if isinstance(entry, VisualParts) else VisualParts() for entry in lowered]
            used = used_prompts(self.prompts, self.rows)
            visual = tabulate(parts, [parts[self.prompts.index(prompt)] for prompt in used])
        dtype = input_weight(self.model_map.model).dtype
        tables = make_tables([key_values(entry) for entry in lowered], dtype)
        return LoweredPrompts(tables, vectors(lowered), visual, weights)

    def _lower_alone(self, prompt: Prompt) -> Lowered:
        with self.injectors.layer_modules.alone(prompt):
            return lower(prompt, self.model_map, self.as_tokens)

    # -- refusals --------------------------------------------------------------------------------

    def _check_kernels(self) -> None:
        """Somebody may have chosen another kernel since the model was loaded."""
        for config in self.injectors.configs:
            check_kernel(config)

    def _keep_checkpointing(self, stack: ExitStack, call: PassContext) -> None:
        """Make gradient checkpointing exact, or refuse it."""
        layers = [m for m in checkpointing.active(self.model_map.checkpointable) if m.training]
        if not layers or not torch.is_grad_enabled():
            return
        if self.injectors.shares_modules:
            raise BackboneError(
                "gradient checkpointing",
                "layers that share one module",
                "layers of their own: run again in another order, they would not know their prompts",
            )
        checkpointing.keep_context(layers)
        stack.enter_context(checkpointing.resumed_by(lambda: self._resumed(call)))

    @contextmanager
    def _resumed(self, call: PassContext) -> Iterator[None]:
        """A checkpointed layer of a call runs again: what stood on the model then must stand there now."""
        if call.running:
            yield
            return
        with ExitStack() as stack:
            stack.enter_context(self._holding())
            stack.enter_context(self.gate.turn(alone=bool(call.lowered.weights)))
            stack.enter_context(self.weights.laid(call.lowered.weights))
            yield

    def _check_gradient(self, output: Any) -> None:
        tensors = output.values() if isinstance(output, Mapping) else output
        tensors = [tensors] if isinstance(tensors, Tensor) else tensors
        found = [t for t in tensors if isinstance(t, Tensor)]
        if found and not any(t.requires_grad for t in found):
            raise BackboneError(
                "prompted",
                f"a pass of {self.model_map.spec.name} whose output has no gradient to the prompt",
                "layers that pass gradients on",
                "load the weights in a way that has a backward pass; for a pass without training use "
                "torch.no_grad()",
            )


def _not_in_a_graph(name: str) -> BackboneError:
    return BackboneError(
        "prompted",
        f"layers of {name} that were compiled as one graph without any break (fullgraph=True)",
        "graphs that can be left where a prompt enters",
        "compile without fullgraph=True, or use a model that is not compiled",
    )


def _by_module(
    answers: Mapping[nn.Module, Interception], own: frozenset[nn.Module], around: Interception | None
) -> Interception:
    """One interception for all attentions: a model's own as the injectors say, others as they were."""

    def answer(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        if call.module not in own:
            return call.as_usual() if around is None else around(call)
        ours = answers.get(call.module)
        return quick(call).as_usual() if ours is None else ours(quick(call))

    return answer
