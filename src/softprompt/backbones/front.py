"""Soft tokens in front of an encoder's text.

An encoder's soft tokens read the text as the text reads them, so they cannot become key/values; they
are put into the input, and the decoder's view of the encoder grows by them.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.errors import PromptError

_Rows = Callable[[int], Tensor | None]


class SoftFront:
    """Puts each row's soft tokens before an encoder's text.

    Shorter prompts stand right before the text, with masked columns before them.

    Args:
        encoder: the module that takes the text.
        decoder: the module that attends to the encoder.
        rows_for: which prompt each row of a batch has (None: one for all).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, rows_for: _Rows):
        self.encoder = encoder
        self.decoder = decoder
        self.rows_for = rows_for
        self.vectors: Tensor | None = None
        self.valid: Tensor | None = None
        self._signatures = {m: inspect.signature(m.forward) for m in (encoder, decoder)}

    def install(self) -> list[Any]:
        """Register the hooks; returns their handles."""
        return [
            self.encoder.register_forward_pre_hook(self._before_encoder, with_kwargs=True),
            self.decoder.register_forward_pre_hook(self._before_decoder, with_kwargs=True),
        ]

    def set(self, vectors: Sequence[Tensor | None]) -> None:
        """The current vectors of each prompt, `[slot, hidden]`; None for prompts without."""
        some = next(v for v in vectors if v is not None)
        filled = [some.new_zeros(0, some.shape[1]) if v is None else v for v in vectors]
        longest = max(len(v) for v in filled)
        self.vectors = torch.stack([nn.functional.pad(v, (0, 0, longest - len(v), 0)) for v in filled])
        counts = torch.tensor([len(v) for v in filled], device=some.device)
        self.valid = torch.arange(longest, device=some.device)[None] >= longest - counts[:, None]

    def _before_encoder(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = self._given(module, args, kwargs)
        embeds = given.get("inputs_embeds")
        if embeds is None:
            embeds = module.get_input_embeddings()(given["input_ids"])  # type: ignore[operator]
        batch, text_len = embeds.shape[:2]
        mask = given.get("attention_mask")
        mask = torch.ones(batch, text_len, dtype=torch.long, device=embeds.device) if mask is None else mask
        if bool((mask[:, 0] == 0).any()):
            raise PromptError(
                "prompted",
                "text padded on the left",
                "padding on the right, so that soft tokens stand before the text",
            )
        vectors, valid = self._by_row(batch)
        given["input_ids"] = None
        given["inputs_embeds"] = torch.cat([vectors.to(embeds), embeds], dim=1)
        given["attention_mask"] = torch.cat([valid.to(mask), mask], dim=1)
        return (), given

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
        given["encoder_attention_mask"] = torch.cat([valid.to(mask), mask], dim=1)
        return (), given

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
