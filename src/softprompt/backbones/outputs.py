"""What is read from a model under the prompts of a session: states, logits or losses at chosen positions."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.activation_cache import ActivationCache
from softprompt.backbones.dispatch import Forward, Override, overriding, standing
from softprompt.backbones.injection import Gate, PassContext, PositionInjector, refuse_slots
from softprompt.backbones.inspection import ModelMap, unmasked
from softprompt.backbones.loss import cross_entropy, is_alone, is_frozen
from softprompt.errors import BackboneError
from softprompt.prompts.heads import CLASS, PATCH, PROMPT, SPECIAL


class Outputs:
    """The outputs of one backbone.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
    """

    def __init__(self, model_map: ModelMap, gate: Gate):
        self.map = model_map
        self.gate = gate
        self.cache: ActivationCache | None = None

    @contextmanager
    def call(self) -> Iterator[PassContext | None]:
        """Within this context everything is one outermost call under the session's prompts, if any."""
        session = self.gate.session
        if session is not None:
            with session.call() as call:
                yield call
            return
        running = self.gate.call
        if running is not None:
            yield running
            return
        if self.gate.n_open:
            raise self.gate.refusal()
        with self.gate.turn(alone=False):
            yield None

    def look(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """See `Backbone.look`."""
        vision = self.map.vision
        if vision is None:
            got = f"{self.map.spec.name}, which reads texts"
            raise BackboneError("backbone", got, "one that reads pictures", "use read")
        like = vision.conv.weight
        inputs = {"pixel_values": pixel_values.to(like.device, like.dtype)}
        options = vision.options(pixel_values)
        with self.call() as call, unmasked(self.map.model), self._above(call, inputs, options):
            output = self.map.model.base_model(**inputs, **options)
        states = vision.finished(output.last_hidden_state)
        kinds = [CLASS] * min(vision.n_special, 1) + [SPECIAL] * (vision.n_special - 1)
        kinds += [PATCH] * (states.shape[1] - vision.n_special)
        own = None if call is None else call.own_states
        if own is not None:
            states = torch.cat([states, own], dim=1)
            kinds += [PROMPT] * own.shape[1]
        return states, torch.tensor(kinds, device=states.device).expand(len(states), -1)

    def read(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See `Backbone.read`."""
        if self.map.vision is not None:
            states, kinds = self.look(inputs["pixel_values"])
            return states[:, : int((kinds[0] != PROMPT).sum())]
        self._refuse_slots(inputs)
        model = self.map.model
        with self.call() as call, self._counted(call):
            if self.map.spec.is_encoder_decoder:
                output = model.get_encoder()(**inputs)
                return _text_alone(call, output).last_hidden_state
            options = {"use_cache": False} if self.map.decodes else {}
            with self._above(call, inputs, options):
                return model.base_model(**inputs, **options).last_hidden_state

    def labelled_logits(self, inputs: Mapping[str, Tensor], labelled: Tensor) -> Tensor:
        """See `Backbone.labelled_logits`."""
        with self._choosing(inputs, labelled) as options:
            return self.map.model(**inputs, **options).logits[0]

    def labelled_losses(self, inputs: Mapping[str, Tensor], labelled: Tensor, wanted: Tensor) -> Tensor:
        """See `Backbone.labelled_losses`."""
        matrix: Any = self.vocabulary_matrix
        finish = self.map.finish
        # One call, so that a prompt's tensors over the matrix stand there until its loss is taken.
        with self.call():
            if finish is None or not is_alone(matrix):
                logits = self.labelled_logits(inputs, labelled)
            else:
                states = self.labelled_states(inputs, labelled)
                if is_frozen(matrix):
                    states = states.to(matrix.weight.device)
                    return cross_entropy(states, matrix, wanted.to(states.device), finish)
                logits = finish(matrix(states))
        return nn.functional.cross_entropy(logits.float(), wanted.to(logits.device), reduction="none")

    def labelled_states(self, inputs: Mapping[str, Tensor], labelled: Tensor) -> Tensor:
        """See `Backbone.labelled_states`."""
        kept: list[Tensor] = []

        def keep(below: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            kept.append(args[0])
            return below(args[0][:, :0])  # the logits of no position

        with self._choosing(inputs, labelled, keep) as options:
            self.map.model(**inputs, **options)
        return kept[0][0]

    @property
    def vocabulary_matrix(self) -> nn.Module:
        """See `Backbone.vocabulary_matrix`."""
        model = self.map.model
        matrix = model.get_output_embeddings()
        if matrix is None:
            raise BackboneError(
                "backbone",
                f"{self.map.spec.name} ({type(model).__name__}) without a vocabulary head",
                "a language model",
                "load a causal, masked or encoder-decoder one, or give the prompt a head of its own",
            )
        return matrix

    # -- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _choosing(
        self, inputs: Mapping[str, Tensor], labelled: Tensor, keep: Override | None = None
    ) -> Iterator[dict[str, Any]]:
        """Within this context the vocabulary head sees chosen positions only, as one row.

        Args:
            inputs: for the model.
            labelled: the positions, `[batch, seq]`.
            keep: overrides the vocabulary matrix behind the choice.
        """
        matrix, base = self.vocabulary_matrix, self.map.model.base_model
        self._refuse_slots(inputs)
        options = {"use_cache": False} if self.map.decodes else {}

        def chosen(below: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return below(args[0][labelled.to(args[0].device)][None])

        def chosen_states(below: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            output = below(*args, **kwargs)
            return _with_states(output, output[0][labelled.to(output[0].device)][None])

        kept = () if keep is None else (keep,)
        # A masked model's head has layers before its matrix: choose where states leave the base.
        overrides: dict[nn.Module, tuple[Override, ...]] = (
            {matrix: (chosen, *kept)} if self.map.decodes else {base: (chosen_states,), matrix: kept}
        )
        with (
            self.call() as call,
            standing(overrides),
            self._above(call, inputs, options),
            overriding(overrides, outermost=True),
        ):
            yield options

    def _above(
        self, call: PassContext | None, inputs: Mapping[str, Tensor], options: Mapping[str, Any]
    ) -> AbstractContextManager[None]:
        """Within this context a pass over these inputs starts where the activation cache, if any, ends."""
        if self.cache is None or call is None:
            return nullcontext()
        base: Callable[..., Any] = self.map.model.base_model
        return self.cache.serving(call, inputs, lambda some: base(**some, **options))

    @contextmanager
    def _counted(self, call: PassContext | None) -> Iterator[None]:
        """Without prompts too, positions are counted along the mask: left padding changes nothing."""
        if call is not None and any(prompt is not None for prompt in call.prompts):
            yield
            return
        spec = self.map.spec
        bare = call or PassContext.bare()
        counting = [
            PositionInjector(stack, [0], 0, spec.position_limit, spec.first_position, spec.name)
            for stack in self.map.stacks.values()
        ]
        modules = [module for injector in counting for module in injector.modules]
        overrides = {m: o for injector in counting for m, o in injector.forwards(bare).items()}
        with standing(modules), overriding(overrides):
            yield

    def _refuse_slots(self, inputs: Mapping[str, Tensor]) -> None:
        # Inside a session its injectors know which rows may have slots.
        if self.gate.session is None:
            refuse_slots(inputs.get("input_ids"))


def _text_alone(call: PassContext | None, output: Any) -> Any:
    """An encoder's output without the soft tokens in front."""
    return output if call is None or call.cut is None else call.cut(output)


def _with_states(output: Any, states: Tensor) -> Any:
    """A base model's output with other last hidden states."""
    if isinstance(output, tuple):
        return (states, *output[1:])
    output.last_hidden_state = states
    return output
