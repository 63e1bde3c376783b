"""Soft tokens in front of an encoder's text.

An encoder's soft tokens read the text as the text reads them, so they cannot become key/values; they
are put into the input as raw embeddings, before the family adds positions, types and norms. Where a
decoder follows, its view of the encoder grows by them; where none does, the outputs are cut back to
the text.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.errors import BackboneError

_Rows = Callable[[int], Tensor | None]


class SoftFront:
    """Puts each row's soft tokens before an encoder's text.

    Shorter prompts stand right before the text, with masked columns before them. Text that is padded on
    the left is moved to the left meanwhile, so that it stands right behind its prompt.

    Args:
        encoder: the module that takes the text.
        decoder: the module that attends to the encoder, or None.
        attentions: the encoder's.
        rows_for: which prompt each row of a batch has (None: one for all).
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module | None,
        attentions: Sequence[nn.Module],
        rows_for: _Rows,
    ):
        self.encoder = encoder
        self.attentions = attentions
        self.decoder = decoder
        self.rows_for = rows_for
        self.vectors: Tensor | None = None
        self.valid: Tensor | None = None
        self.text_len = 0
        self.moved: Tensor | None = None
        """Where the text's tokens come from, `[batch, seq]`, if they were moved."""
        both = [module for module in (encoder, decoder) if module is not None]
        self._signatures = {module: inspect.signature(module.forward) for module in both}

    def install(self) -> list[Any]:
        """Register the hooks; returns their handles."""
        handles = [self.encoder.register_forward_pre_hook(self._before_encoder, with_kwargs=True)]
        if self.decoder is not None:
            handles.append(self.decoder.register_forward_pre_hook(self._before_decoder, with_kwargs=True))
            return handles
        # Cut before a pooler looks for the text's first token, and again where states are gathered.
        layers = _holder_of_layers(self.encoder, self.attentions)
        if layers is None and getattr(self.encoder, "pooler", None) is not None:
            raise BackboneError(
                "prompted",
                f"soft tokens before a {type(self.encoder).__name__}, whose pooler would read them",
                "an encoder whose layers are in a module of their own",
                "use prefix_tuning",
            )
        after = [module for module in (layers, self.encoder) if module is not None]
        return handles + [module.register_forward_hook(self._after_encoder) for module in after]

    def set(self, vectors: Sequence[Tensor | None]) -> None:
        """The current vectors of each prompt, `[slot, hidden]`; None for prompts without."""
        some = next(v for v in vectors if v is not None)
        filled = [some.new_zeros(0, some.shape[1]) if v is None else v for v in vectors]
        longest = max(len(v) for v in filled)
        self.vectors = torch.stack([nn.functional.pad(v, (0, 0, longest - len(v), 0)) for v in filled])
        counts = torch.tensor([len(v) for v in filled], device=some.device)
        self.valid = torch.arange(longest, device=some.device)[None] >= longest - counts[:, None]

    @property
    def n_columns(self) -> int:
        """Columns in front of the text, those of the longest prompt."""
        return 0 if self.vectors is None else self.vectors.shape[1]

    def cut(self, output: Any) -> Any:
        """An output of the encoder at the text's own length and in its own order.

        Hidden states lose their first columns, attention weights their first queries; what has another
        length is left alone.
        """
        if isinstance(output, Tensor):
            return self._cut_tensor(output)
        if isinstance(output, Mapping):
            return type(output)(**{name: self.cut(value) for name, value in output.items()})
        if isinstance(output, tuple):
            return tuple(self.cut(value) for value in output)
        return output

    def _cut_tensor(self, tensor: Tensor) -> Tensor:
        n = self.n_columns
        whole = n + self.text_len
        axis = tensor.ndim - 2
        if (
            tensor.ndim not in (3, 4)
            or tensor.shape[axis] != whole
            or (axis == 2 and tensor.shape[3] != whole)
        ):
            return tensor
        tensor = tensor.narrow(axis, n, self.text_len)
        if self.moved is None:
            return tensor
        back = self.moved.argsort(-1).to(tensor.device)
        back = back.view(len(back), *[1] * (axis - 1), self.text_len, 1).expand(tensor.shape)
        return tensor.gather(axis, back)

    def _before_encoder(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = self._given(module, args, kwargs)
        embeds = given.get("inputs_embeds")
        if embeds is None:
            embeds = module.get_input_embeddings()(given["input_ids"])  # type: ignore[operator]
        batch, self.text_len = embeds.shape[:2]
        mask = given.get("attention_mask")
        if mask is None:
            mask = torch.ones(batch, self.text_len, dtype=torch.long, device=embeds.device)
        self.moved = _right_padded(mask)
        vectors, valid = self._by_row(batch)
        given["input_ids"] = None
        given["inputs_embeds"] = torch.cat([vectors.to(embeds), self._move(embeds)], dim=1)
        given["attention_mask"] = torch.cat([valid.to(mask), self._move(mask)], dim=1)
        if given.get("token_type_ids") is not None:
            types = given["token_type_ids"]
            given["token_type_ids"] = torch.cat(
                [torch.zeros_like(valid, dtype=types.dtype), self._move(types)], 1
            )
        if given.get("position_ids") is not None:
            given["position_ids"] = self._positions(given["position_ids"], valid)
        return (), given

    def _positions(self, given: Tensor, valid: Tensor) -> Tensor:
        """The caller's positions of the text, behind those of the soft tokens."""
        text = self._move(given.expand(len(valid), -1))
        first = text.min(dim=1, keepdim=True).values
        own = (valid.long().cumsum(-1) - 1).clamp(min=0) + first
        return torch.cat([own, text + valid.sum(-1, keepdim=True)], dim=1)

    def _before_decoder(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = self._given(module, args, kwargs)
        states = given.get("encoder_hidden_states")
        if states is None:
            return None
        batch = states.shape[0]
        valid = self._by_row(batch)[1]
        mask = given.get("encoder_attention_mask")
        if mask is None:
            mask = torch.ones(batch, states.shape[1] - valid.shape[1], dtype=torch.long, device=states.device)
        # The mask says how the text was moved, also when the encoder ran long before (in `generate`).
        moved = _right_padded(mask)
        mask = mask if moved is None else mask.gather(1, moved)
        given["encoder_attention_mask"] = torch.cat([valid.to(mask), mask], dim=1)
        return (), given

    def _after_encoder(self, module: nn.Module, args: Any, output: Any) -> Any:
        return self.cut(output)

    def _move(self, tensor: Tensor) -> Tensor:
        """A text's tensor, `[batch, seq, ...]`, with its real tokens first."""
        if self.moved is None:
            return tensor
        index = self.moved.to(tensor.device)
        return tensor.gather(1, index if tensor.ndim == 2 else index[..., None].expand(tensor.shape))

    def _given(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = self._signatures[module].bind_partial(*args, **kwargs).arguments
        return {**bound.pop("kwargs", {}), **bound}

    def _by_row(self, batch: int) -> tuple[Tensor, Tensor]:
        assert self.vectors is not None and self.valid is not None
        rows = self.rows_for(batch)
        if rows is None:
            return self.vectors.expand(batch, -1, -1), self.valid.expand(batch, -1)
        rows = rows.to(self.vectors.device)
        return self.vectors[rows], self.valid[rows]


def _right_padded(mask: Tensor) -> Tensor | None:
    """The order that puts real tokens first, `[batch, seq]`; None where they are there already."""
    shut = (mask == 0).long()
    if bool((shut.diff(dim=1) >= 0).all()):
        return None
    return shut.argsort(dim=1, stable=True)


def _holder_of_layers(encoder: nn.Module, attentions: Sequence[nn.Module]) -> nn.Module | None:
    """The child that runs all layers, if there is one that is more than a list of them."""
    for child in encoder.children():
        if not isinstance(child, nn.ModuleList) and set(attentions) <= set(child.modules()):
            return child
    return None
