"""Outputs of a model under the prompts of a session: states, logits or losses at chosen positions."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from softprompt.backbones.activation_cache import ActivationCache
from softprompt.backbones.dispatch import Gate, Override, dispatching, overriding
from softprompt.backbones.injection import (
    LoweredPrompts,
    PassContext,
    PositionInjector,
    input_weight,
    naked_call,
    refuse_slots,
)
from softprompt.backbones.inspection import SOUNDS, ModelMap, unmasked
from softprompt.backbones.loss import (
    choosing,
    choosing_states,
    cross_entropy,
    is_alone,
    is_frozen,
    keeping,
)
from softprompt.errors import BackboneError
from softprompt.prompts import PROMPT


class Outputs:
    """The outputs of a backbone; `Backbone` is one.

    Args:
        model_map: where things are in its model.
    """

    def __init__(self, model_map: ModelMap):
        self.map = model_map
        """Where things are in the model, found by running it once."""
        self._gate = Gate(model_map.spec.name)
        self._cache: ActivationCache | None = None

    @property
    def device(self) -> torch.device:
        """Device of the input embeddings."""
        return input_weight(self.map).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the input embeddings, in which the model computes."""
        return input_weight(self.map).dtype

    @contextmanager
    def _call(self) -> Iterator[PassContext | None]:
        """Within this context everything is one outermost call under the session's prompts, if any."""
        session = self._gate.session
        if session is not None:
            with session.call() as call:
                yield call
            return
        running = self._gate.call
        if running is not None:
            yield running
            return
        if self._gate.n_open:
            raise naked_call(self._gate.name)
        with self._gate.turn(alone=False):
            yield None

    def look(
        self, pixel_values: Float[Tensor, "batch channel height width"]
    ) -> tuple[Float[Tensor, "batch seq hidden"], Int[Tensor, "batch seq"]]:
        """The last states of pictures under the active prompts, with the kind of every token.

        Args:
            pixel_values: `[batch, channel, height, width]`, as `pixels` makes them.

        Returns:
            States, `[batch, seq, hidden]`, in the model's precision and behind its last norm: those of the
            picture's own tokens, and behind them those of the prompts' tokens where a head reads them. And
            the kind of each token, `[batch, seq]`, see `softprompt.prompts.heads`.

        Raises:
            BackboneError: the backbone reads texts.
        """
        vision = self.map.vision
        if vision is None:
            got = f"{self.map.spec.name}, which reads texts"
            raise BackboneError("backbone", got, "one that reads pictures", "use read")
        inputs, options = vision.inputs(pixel_values), vision.options(pixel_values)
        with self._call() as call, unmasked(self.map.model), self._above(call, inputs, options):
            output = vision.base(**inputs, **options)
            own = None if call is None else call.own_states
        states = vision.states(output)
        kinds = vision.kinds(states.shape[1])
        if own is not None:
            states = torch.cat([states, own], dim=1)
            kinds += [PROMPT] * own.shape[1]
        return states, torch.tensor(kinds, device=states.device).expand(len(states), -1)

    def read(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "batch seq hidden"]:
        """The last hidden states, under the active prompts, without any of the model's own heads.

        An encoder-decoder reads with its encoder alone.

        Args:
            inputs: of the text: `input_ids` or `inputs_embeds`, `attention_mask`, and further ones of the
                family (`token_type_ids`); of pictures: `pixel_values`.

        Returns:
            `[batch, seq, hidden]` in the model's precision, where seq is the text's own length, or the number
            of a picture's own tokens: prompts take no places in it.
        """
        if self.map.vision is not None:
            states, kinds = self.look(inputs["pixel_values"])
            return states[:, : int((kinds[0] != PROMPT).sum())]
        self._check(inputs)
        model = self.map.model
        with self._call() as call, self._counted(call):
            if self.map.spec.is_encoder_decoder:
                output = model.get_encoder()(**inputs)
                return _text_alone(call, output).last_hidden_state
            options = {"use_cache": False} if self.map.decodes else {}
            with self._above(call, inputs, options):
                return self.map.base(**inputs, **options).last_hidden_state

    def labelled_logits(
        self, inputs: Mapping[str, Tensor], labelled: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "labelled vocab"]:
        """Vocabulary logits at chosen positions only; the head is not run on the others.

        Args:
            inputs: for the model, without labels.
            labelled: boolean, `[batch, seq]`, over the positions of the text (of the decoder, where there
                are two).

        Returns:
            `[labelled, vocab]`, in row-major order, in the model's precision.

        Raises:
            BackboneError: an encoder without a vocabulary head.
        """
        with self._choosing(inputs, labelled) as options:
            return self.map.model(**inputs, **options).logits[0]

    def labelled_losses(
        self,
        inputs: Mapping[str, Tensor],
        labelled: Bool[Tensor, "batch seq"],
        targets: Int[Tensor, " labelled"],
    ) -> Float[Tensor, " labelled"]:
        """Negative log-likelihoods at chosen positions, without ever holding all their logits.

        Where a family changes its logits in an unknown way, or the vocabulary matrix is trained, the losses
        come from `labelled_logits`; the numbers are the same.

        Args:
            inputs: as in `labelled_logits`.
            labelled: as in `labelled_logits`.
            targets: the token at each of them, `[labelled]`, in row-major order.

        Returns:
            `[labelled]`, float32, differentiable.

        Raises:
            BackboneError: an encoder without a vocabulary head.
        """
        matrix: Any = self.vocabulary_matrix
        finish = self.map.finish
        # One call, so that a prompt's tensors replace those of the matrix until the loss is computed.
        with self._call():
            if finish is None or not is_alone(matrix):
                logits = self.labelled_logits(inputs, labelled)
            else:
                states = self.labelled_states(inputs, labelled)
                if is_frozen(matrix):
                    states = states.to(matrix.weight.device)
                    return cross_entropy(states, matrix, targets.to(states.device), finish)
                logits = finish(matrix(states))
        return nn.functional.cross_entropy(logits.float(), targets.to(logits.device), reduction="none")

    def labelled_states(
        self, inputs: Mapping[str, Tensor], labelled: Bool[Tensor, "batch seq"]
    ) -> Float[Tensor, "labelled output"]:
        """The inputs of the vocabulary matrix at chosen positions: `labelled_logits` before the last layer.

        Returns:
            `[labelled, output]` in the model's precision; a masked model's states have passed the layers
            that stand before its matrix.

        Raises:
            BackboneError: an encoder without a vocabulary head.
        """
        kept: list[Tensor] = []
        with self._choosing(inputs, labelled, keeping(kept)) as options:
            self.map.model(**inputs, **options)
        # Removed from the list: recomputed layers keep the context of their pass, and with it the list.
        return kept.pop()[0]

    @property
    def vocabulary_matrix(self) -> nn.Module:
        """The module that turns states into logits over the vocabulary.

        Raises:
            BackboneError: there is none.
        """
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
        """Within this context the vocabulary head gets chosen positions only, as one row.

        Args:
            inputs: for the model.
            labelled: the positions, `[batch, seq]`.
            keep: a further override of the vocabulary matrix, which gets the chosen positions.
        """
        matrix, base = self.vocabulary_matrix, self.map.base
        self._check(inputs)
        options = {"use_cache": False} if self.map.decodes else {}

        kept = () if keep is None else (keep,)
        # A masked model's head has layers before its matrix: choose positions in the base model's output.
        overrides: dict[nn.Module, tuple[Override, ...]] = (
            {matrix: (choosing(labelled), *kept)}
            if self.map.decodes
            else {base: (choosing_states(labelled),), matrix: kept}
        )
        with (
            self._call() as call,
            dispatching(overrides),
            self._above(call, inputs, options),
            overriding(overrides, outermost=True),
        ):
            yield options

    def _above(
        self, call: PassContext | None, inputs: Mapping[str, Tensor], options: Mapping[str, Any]
    ) -> AbstractContextManager[None]:
        """Within this context a pass over these inputs starts where the activation cache, if any, ends."""
        if self._cache is None or call is None:
            return nullcontext()
        return self._cache.serving(call, inputs, lambda some: self.map.base(**some, **options))

    @contextmanager
    def _counted(self, call: PassContext | None) -> Iterator[None]:
        """Within this context a pass without prompts counts positions along the mask, too."""
        if call is not None and any(prompt is not None for prompt in call.prompts):
            yield
            return
        spec = self.map.spec
        bare = call or PassContext([None], None, LoweredPrompts.none())
        counting = [
            PositionInjector(stack, stack.module, [0], 0, spec.position_limit, spec.first_position, spec.name)
            for stack in self.map.stacks.values()
        ]
        modules = [module for injector in counting for module in injector.modules]
        overrides = {m: o for injector in counting for m, o in injector.forwards(bare).items()}
        with dispatching(modules), overriding(overrides):
            yield

    def _check(self, inputs: Mapping[str, Tensor]) -> None:
        spec = self.map.spec
        if spec.reads == "sounds" and "encoder_outputs" not in inputs and not {*SOUNDS} & {*inputs}:
            raise BackboneError(
                "inputs",
                f"a text before {spec.name} ({spec.family}), whose encoder reads sounds",
                "the features of a sound (input_features or input_values)",
                "train it in a loop of your own, with softprompt.PromptedModel",
            )
        # Inside a session the injectors check which rows may have slots.
        if self._gate.session is None:
            refuse_slots(inputs.get("input_ids"))


def _text_alone(call: PassContext | None, output: Any) -> Any:
    """An encoder's output without the soft tokens in front."""
    return output if call is None or call.cut is None else call.cut(output)
