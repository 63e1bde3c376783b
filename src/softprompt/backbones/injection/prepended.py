"""Soft tokens in front of an encoder's text.

In an encoder soft tokens attend to the text, and the text to them, so they cannot become key/values. They
are put into the input as raw embeddings, before the family adds positions, types and norms. A decoder attends
to them as well, and the model's own outputs hold the text alone; without a decoder all outputs are cut back
to the text.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import Interception
from softprompt.backbones.dispatch import Forward, Override, bound_arguments
from softprompt.backbones.injection.injector import PassContext, RowTable
from softprompt.backbones.injection.refusals import cannot_continue
from softprompt.backbones.inspection import Stack, of_each_token, word_vectors
from softprompt.errors import BackboneError, PromptError, with_article

_KNOWN = {
    "input_ids", "inputs_embeds", "attention_mask", "position_ids", "cache_position", "encoder_hidden_states",
    "encoder_attention_mask",
}  # fmt: skip
"""Tensors that an encoder takes beside those of each token."""

MASKS_OF_ENCODER = ("encoder_attention_mask", "encoder_padding_mask")
"""Names by which decoders take the mask of the encoder's text, 1 at real tokens (the second is FSMT's)."""


@dataclass
class _Text:
    """Where the text of a call is in the encoder's input.

    Args:
        n_columns: columns in front of it, those of the longest prompt.
        length: of the text.
        moved: for each place of the input the index of its token in the caller's text behind `n_columns`
            columns, `[batch, prompt + seq]`; None where no token was moved.
    """

    n_columns: int
    length: int
    moved: Tensor | None


class PrependedInjector:
    """Puts each row's soft tokens before an encoder's text.

    Each row begins with its prompt, its real tokens come right behind, and what is masked comes last: a
    shorter prompt leaves no columns before it, and text that is padded on the left is moved to the left. So
    also a family that numbers its columns numbers every row as if it were alone. Outputs are moved back.

    Args:
        encoder: the stack that takes the text.
        decoder: the stack that attends to the encoder, or None.
        whole: the modules that hold both stacks, whose outputs shall hold the text alone.
        attentions: the encoder's.
        in_front: which prompts are soft tokens in front of the text, `[prompt_id]`.
    """

    def __init__(
        self,
        encoder: Stack,
        decoder: Stack | None,
        whole: Sequence[nn.Module],
        attentions: Sequence[nn.Module],
        in_front: Sequence[bool],
    ):
        self.encoder = encoder
        self.decoder = decoder
        self.in_front = in_front
        self.whole = [module for module in whole if module is not encoder.module]
        self._of_each_token = of_each_token(encoder.module)
        self.holder: nn.Module | None = None
        if decoder is None:
            # Cut before a pooler takes the first token, and again where all layers' states are collected.
            self.holder = _holder_of_layers(encoder.module, attentions)
            if self.holder is None and getattr(encoder.module, "pooler", None) is not None:
                whom = with_article(type(encoder.module).__name__)
                raise BackboneError(
                    "prompted",
                    f"soft tokens before {whom}, whose pooler would read them",
                    "an encoder whose layers are in a module of their own",
                    "use prefix_tuning",
                )

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The stacks, and the modules that pass their outputs on."""
        if self.decoder is not None:
            return [self.encoder.module, self.decoder.module, *self.whole]
        return [self.encoder.module] if self.holder is None else [self.encoder.module, self.holder]

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """No attention is answered."""
        return {}

    def n_columns(self, context: PassContext) -> int:
        """Columns in front of the text, those of the longest prompt."""
        return self._table(context).longest

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Add soft tokens to the encoder's input, and cut outputs back to the text."""

        def encoded(below: Forward, *args: Any, **kwargs: Any) -> Any:
            output = below(**self._grown(context, bound_arguments(self.encoder.signature, args, kwargs)))
            return output if self.decoder is not None else self.cut(context, output)

        def decoded(below: Forward, *args: Any, **kwargs: Any) -> Any:
            assert self.decoder is not None
            return below(**self._widened(context, bound_arguments(self.decoder.signature, args, kwargs)))

        def cut(below: Forward, *args: Any, **kwargs: Any) -> Any:
            return self.cut(context, below(*args, **kwargs))

        def cut_encoder(below: Forward, *args: Any, **kwargs: Any) -> Any:
            return self._cut_encoder_outputs(context, below(*args, **kwargs))

        context.cut = lambda output: self.cut(context, output)
        overrides: dict[nn.Module, Override] = {self.encoder.module: encoded}
        if self.decoder is not None:
            overrides[self.decoder.module] = decoded
            # Inside `generate` the encoder's outputs go to the decoder, which needs all of them.
            if not context.generating:
                overrides |= dict.fromkeys(self.whole, cut_encoder)
        elif self.holder is not None:
            overrides[self.holder] = cut
        return overrides

    # -- outputs ---------------------------------------------------------------------------------

    def cut(self, context: PassContext, output: Any, name: str = "") -> Any:
        """An output of the encoder for the text alone, in the text's own order.

        Hidden states lose the soft tokens' columns, attention weights their queries. A tensor of another
        length stays as it is.

        Args:
            context: of the call.
            output: a tensor, or a mapping or tuple of outputs.
            name: of an output among others; weights are known by it where a query sees a window (LED's).
        """
        text: _Text | None = context.notes.get(self)
        if text is None:
            return output
        if isinstance(output, Tensor):
            return _cut_tensor(text, output, name.endswith("attentions"))
        if isinstance(output, Mapping):
            return type(output)(**{name: self.cut(context, value, name) for name, value in output.items()})
        if isinstance(output, tuple):
            parts = [self.cut(context, value, name) for value in output]
            return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)
        return output

    def _cut_encoder_outputs(self, context: PassContext, output: Any) -> Any:
        if isinstance(output, MutableMapping):
            names = [name for name in output if name.startswith("encoder_")]
            for name in names:
                output[name] = self.cut(context, output[name], name)
        return output

    # -- inputs ----------------------------------------------------------------------------------

    def _grown(self, context: PassContext, given: dict[str, Any]) -> dict[str, Any]:
        cache = given.get("past_key_values")
        if cache is not None and cache.get_seq_length() > 0:
            raise cannot_continue(type(self.encoder.module).__name__)
        embeds = given.get("inputs_embeds")
        if embeds is None:
            embeds = word_vectors(self.encoder.words, given["input_ids"])
        batch, length = embeds.shape[:2]
        self._check(given, batch, length)
        mask = given.get("attention_mask")
        if mask is None:
            mask = torch.ones(batch, length, dtype=torch.long, device=embeds.device)
        vectors, valid = self._by_row(context, batch)
        whole = torch.cat([valid.to(mask), mask], dim=1)
        moved = _right_padded(whole)
        n_columns = valid.shape[1]
        context.notes[self] = _Text(n_columns, length, moved)
        given["input_ids"] = None
        given["inputs_embeds"] = _move(torch.cat([vectors.to(embeds), embeds], dim=1), moved)
        given["attention_mask"] = _move(whole, moved)
        for name, value in given.items():
            if name in self._of_each_token and isinstance(value, Tensor):
                own = value.new_full((batch, n_columns, *value.shape[2:]), self._of_each_token[name])
                given[name] = _move(torch.cat([own, value.expand(batch, *value.shape[1:])], dim=1), moved)
        if given.get("position_ids") is not None:
            given["position_ids"] = _move(_positions(given["position_ids"], valid), moved)
        return given

    def _check(self, given: Mapping[str, Any], batch: int, length: int) -> None:
        """Refuse inputs that say something of tokens by their places, which soft tokens move."""
        whom = with_article(type(self.encoder.module).__name__)
        for name, value in given.items():
            own = name in self.encoder.signature.parameters  # T5 hands the labels on to its encoder
            known = name in _KNOWN or name in self._of_each_token
            if own and isinstance(value, Tensor) and not known:
                raise BackboneError(
                    "prompted",
                    f"{name}=... for {whom}, with soft tokens before its text",
                    "a text alone: it is not known what soft tokens have there",
                    f"leave {name} out, or use prefix_tuning",
                )
        mask = given.get("attention_mask")
        if mask is not None and tuple(mask.shape) != (batch, length):
            raise BackboneError(
                "attention_mask",
                f"{tuple(mask.shape)} for {batch} rows of {length} tokens, behind soft tokens of {whom}",
                f"[{batch}, {length}], 1 at real tokens",
                "pass a mask of two dimensions, or use prefix_tuning",
            )

    def _widened(self, context: PassContext, given: dict[str, Any]) -> dict[str, Any]:
        states = given.get("encoder_hidden_states")
        if states is None:
            return given
        batch = states.shape[0]
        valid = self._by_row(context, batch)[1]
        assert self.decoder is not None
        name = next(
            (name for name in MASKS_OF_ENCODER if name in self.decoder.signature.parameters),
            MASKS_OF_ENCODER[0],
        )
        mask = given.get(name)
        if mask is None:
            mask = torch.ones(batch, states.shape[1] - valid.shape[1], dtype=torch.long, device=states.device)
        if states.shape[1] != mask.shape[1] + valid.shape[1]:
            raise PromptError(
                "encoder_outputs",
                f"states of {states.shape[1]} tokens for a text of {mask.shape[1]}",
                f"{mask.shape[1] + valid.shape[1]}, those of the {valid.shape[1]} soft tokens first",
                "pass what the encoder itself gives under the prompt, model.get_encoder()(...); the whole "
                "model's encoder_last_hidden_state holds the text alone",
            )
        # How the text was moved follows from the mask; in `generate` the encoder has run in an earlier call.
        whole = torch.cat([valid.to(mask), mask], dim=1)
        given[name] = _move(whole, _right_padded(whole))
        return given

    def _table(self, context: PassContext) -> RowTable:
        return context.vectors(self, self.in_front, pad="left")

    def _by_row(self, context: PassContext, batch: int) -> tuple[Tensor, Tensor]:
        table = self._table(context)
        vectors, valid = context.by_row(table.values, batch), context.by_row(table.valid, batch)
        return vectors.expand(batch, -1, -1), valid.expand(batch, -1)


def _cut_tensor(text: _Text, tensor: Tensor, weights: bool) -> Tensor:
    whole = text.n_columns + text.length
    axis = tensor.ndim - 2
    if tensor.ndim not in (3, 4) or tensor.shape[axis] != whole:
        return tensor
    if axis == 2 and tensor.shape[3] != whole and not weights:
        return tensor
    if text.moved is not None:
        back = text.moved.argsort(-1).to(tensor.device)
        back = back.view(len(back), *[1] * (axis - 1), whole, 1).expand(tensor.shape)
        tensor = tensor.gather(axis, back)
    return tensor.narrow(axis, text.n_columns, text.length)


def _move(tensor: Tensor, moved: Tensor | None) -> Tensor:
    """A text's tensor, `[batch, seq, ...]`, with its real tokens first."""
    if moved is None:
        return tensor
    index = moved.to(tensor.device)
    return tensor.gather(1, index if tensor.ndim == 2 else index[..., None].expand(tensor.shape))


def _positions(given: Tensor, valid: Tensor) -> Tensor:
    """The caller's positions of the text, behind those of the soft tokens, `[batch, prompt + seq]`."""
    text = given.expand(len(valid), -1)
    first = text.min(dim=1, keepdim=True).values
    own = (valid.long().cumsum(-1) - 1).clamp(min=0) + first
    return torch.cat([own, text + valid.sum(-1, keepdim=True)], dim=1)


def _right_padded(mask: Tensor) -> Tensor | None:
    """The order that puts real tokens first, `[batch, seq]`; None where they are known to be first."""
    hidden = (mask == 0).long()
    # A traced graph runs with other masks than the one that it was traced with.
    if not torch.jit.is_tracing() and bool((hidden.diff(dim=1) >= 0).all()):  # type: ignore[attr-defined]
        return None
    return hidden.argsort(dim=1, stable=True)


def _holder_of_layers(encoder: nn.Module, attentions: Sequence[nn.Module]) -> nn.Module | None:
    """The child module that runs all layers and is more than a list of them, or None."""
    for child in encoder.children():
        inside = set(child.modules())
        runs_all = (
            set(attentions) <= inside if attentions else any(isinstance(m, nn.ModuleList) for m in inside)
        )
        if runs_all and not isinstance(child, nn.ModuleList):
            return child
    return None
