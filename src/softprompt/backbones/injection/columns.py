"""Soft tokens in front of a decoder's text, as columns of its input.

Where tokens meet outside attention (state-space layers, linear attention, convolutions, token shifts), or in
an attention that cannot be reached, soft tokens cannot become key/values. They enter as input embeddings
instead, right before the first real token of each row, in the first pass over a text. Outputs are cut back to
the text; a cache holds the soft tokens, and later passes continue from it.

A model around the decoder (one that reads pictures too) numbers positions and makes masks of its own before
the decoder is called. There soft tokens stand for words already in its input, whose vectors are exchanged
where it looks them up.
"""

import inspect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import Interception
from softprompt.backbones.dispatch import Forward, Override, bound_arguments
from softprompt.backbones.injection.caches import cache_of, holds_keys, is_empty
from softprompt.backbones.injection.injector import PassContext, RowTable
from softprompt.backbones.inspection import BARE_CACHES, CACHES, PER_LAYER_INPUTS, Stack, word_vectors
from softprompt.errors import BackboneError

_TYPES = ("token_type_ids", "mm_token_type_ids")
"""Keywords that say of each token what it is; a soft token is a text's first kind."""

_OF_TOKENS = ("last_hidden_state", "hidden_states", "attentions", "logits")
"""Outputs that have a column for each token; others may be of a picture."""

_serial = itertools.count()
_MARK = "_softprompt_columns"
"""Name of the attribute by which a cache is known to hold soft tokens: a `_Mark`."""


@dataclass
class _Mark:
    """What a cache holds of a session.

    Args:
        owner: number of the session's injector.
        n_columns: columns before the text.
        n_text: columns of the text.
    """

    owner: int
    n_columns: int
    n_text: int


class ColumnInjector:
    """Puts each row's soft tokens before a decoder's text, as columns of its input.

    All rows have as many columns in front as the longest prompt. A row's own soft tokens stand right before
    its first real token, also where the text is padded on the left; the columns before them are masked. A
    text's token therefore stands so many columns later in every row.

    Args:
        stack: the module that takes the text.
        around: the model's base module, which may hold the stack.
        table: the model's input embeddings.
        word: an id that may stand where a soft token is.
        in_front: which prompts are soft tokens in front of the text, `[prompt_id]`.
        name: of the backbone, for errors.
    """

    def __init__(
        self,
        stack: Stack,
        around: nn.Module,
        table: nn.Module,
        word: int,
        in_front: Sequence[bool],
        name: str,
    ):
        self.stack = stack
        self.around = None if around is stack.module else around
        self.table = table
        self.word = word
        self.in_front = in_front
        self.name = name
        self.owner = next(_serial)
        parameters = stack.signature.parameters
        self.cache_name = next((n for n in CACHES if n in parameters), None)

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The stack, and the module around it with its table of input embeddings."""
        return [self.stack.module] if self.around is None else [self.around, self.table, self.stack.module]

    def attentions(self, context: PassContext) -> Mapping[nn.Module, Interception]:
        """No attention is answered."""
        return {}

    def n_columns(self, context: PassContext) -> int:
        """Columns in front of the text, those of the longest prompt."""
        return self._vectors(context).longest

    def forwards(self, context: PassContext) -> Mapping[nn.Module, Override]:
        """Add soft tokens to the input of the first pass, and to the mask of every pass."""
        overrides: dict[nn.Module, Override] = {
            self.stack.module: self._growing(context, self.stack.signature)
        }
        if self.around is not None:
            overrides[self.around] = self._growing(context, inspect.signature(self.around.forward))
            overrides[self.table] = self._looked_up(context)
        return overrides

    def _looked_up(self, context: PassContext) -> Override:
        """Exchange the vectors of the words that stand for soft tokens."""

        def looked_up(below: Forward, ids: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            words = below(ids, *args, **kwargs)
            soft, vectors = context.notes.get((self, "exchanged"), (None, None))
            if soft is None or ids.shape != soft.shape:
                return words
            return torch.where(soft[..., None], vectors.to(words), words)

        return looked_up

    def _growing(self, context: PassContext, signature: inspect.Signature) -> Override:
        """Add soft tokens to the outermost module that reads the text."""

        def grown(below: Forward, *args: Any, **kwargs: Any) -> Any:
            given = bound_arguments(signature, args, kwargs)
            no_text = given.get("input_ids") is None and given.get("inputs_embeds") is None
            if no_text or context.notes.get((self, "within")):
                return below(*args, **kwargs)
            context.notes[self, "within"] = True
            try:
                return answered(below, given)
            finally:
                context.notes.pop((self, "within"), None)
                context.notes.pop((self, "exchanged"), None)

        def answered(below: Forward, given: dict[str, Any]) -> Any:
            self._check_cache(given)
            cache = None if self.cache_name is None else given.get(self.cache_name)
            mark = self._mark(cache)
            n_columns = self.n_columns(context)
            if mark is not None and not holds_keys(cache):
                grown = self._gone_on(context, given, mark)
            else:
                grown = self._grown(context, given, mark)
            output = below(**grown)
            text = _text(given)
            n_text = (0 if mark is None else mark.n_text) + text.shape[1]
            self._remember(output if cache is None else cache, n_columns, n_text)
            if mark is None:
                width = n_columns + text.shape[1]
                output = _cut(output, n_columns, width)
            return output

        return grown

    # -- caches ----------------------------------------------------------------------------------

    def _check_cache(self, given: Mapping[str, Any]) -> None:
        """Refuse to go on from a cache that does not show whether it holds the soft tokens."""
        name = next((name for name in BARE_CACHES if given.get(name) is not None), None)
        if name is not None:
            raise BackboneError(
                "prompted",
                f"a pass of {self.name} that goes on from its `{name}`, under soft tokens before the text",
                "the whole text in every pass",
                "pass use_cache=False",
            )

    def _mark(self, cache: Any) -> _Mark | None:
        """What a cache holds; None for a first pass.

        Raises:
            BackboneError: a cache that was filled without these soft tokens.
        """
        if cache is None or is_empty(cache):
            return None
        mark: _Mark | None = getattr(cache, _MARK, None)
        if mark is None or mark.owner != self.owner:
            raise BackboneError(
                "prompted",
                f"a cache of {self.name} that was filled outside of this session",
                "an empty cache, or one that this session has filled: it holds the soft tokens",
                "begin the text in the session that goes on with it, or use prefix_tuning",
            )
        return mark

    def _remember(self, holder: Any, n_columns: int, n_text: int) -> None:
        """Mark the cache of a pass, given or made in it."""
        if isinstance(holder, Mapping | tuple | Tensor):
            holder = cache_of(holder, self.cache_name)
        if holder is not None:
            setattr(holder, _MARK, _Mark(self.owner, n_columns, n_text))

    # -- inputs ----------------------------------------------------------------------------------

    def _grown(self, context: PassContext, given: Mapping[str, Any], mark: _Mark | None) -> dict[str, Any]:
        grown = dict(given)
        text = _text(given)
        batch, length = text.shape[:2]
        table = self._vectors(context)
        past = 0 if mark is None else mark.n_text
        mask = self._text_mask(given.get("attention_mask"), batch, past + length, text.device)
        counts = context.by_row(table.lengths[:, None], batch).to(text.device).expand(batch, 1)
        # The column of each row's first real token, in the grown input.
        first = table.longest + mask.ne(0).long().argmax(dim=1, keepdim=True)
        at = torch.arange(table.longest + mask.shape[1], device=text.device)[None]
        soft = (at >= first - counts) & (at < first)
        whole = nn.functional.pad(mask, (table.longest, 0)).masked_fill(soft, 1)
        if given.get("attention_mask") is not None or not bool(whole.all()):
            grown["attention_mask"] = whole
        positions = given.get("position_ids")
        if mark is not None:
            if positions is not None:
                grown["position_ids"] = _of_rows(positions, batch) + counts
            return grown
        if int(first.max()) >= table.longest + length:
            raise BackboneError(
                "prompted",
                f"a first pass over padding alone, before the soft tokens of {self.name}",
                "real tokens in every row of the first pass",
                "leave prefill_chunk_size out, or use prefix_tuning",
            )
        soft = soft[:, : table.longest + length]
        vectors = context.by_row(table.values, batch).expand(batch, -1, -1)
        which = (at - (first - counts)).clamp(0, table.longest - 1)[:, : table.longest + length]
        chosen = vectors.gather(1, which[..., None].to(vectors.device).expand(-1, -1, vectors.shape[-1]))
        ids, embeds = given.get("input_ids"), given.get("inputs_embeds")
        if ids is not None and self.around is not None:
            grown["input_ids"] = nn.functional.pad(ids, (table.longest, 0), value=self.word)
            context.notes[self, "exchanged"] = soft, chosen
        else:
            embeds = word_vectors(self.table, given["input_ids"]) if embeds is None else embeds
            padded = nn.functional.pad(embeds, (0, 0, table.longest, 0))
            grown["input_ids"] = None
            grown["inputs_embeds"] = torch.where(soft[..., None], chosen.to(embeds), padded)
            if self.stack.takes_per_layer_inputs:
                grown[PER_LAYER_INPUTS] = self._per_layer_inputs(given, soft)
        for name in _TYPES:
            if given.get(name) is not None:
                grown[name] = nn.functional.pad(given[name], (table.longest, 0))
        positions = given.get("position_ids")
        if positions is not None:
            grown["position_ids"] = _positions(positions, mask.ne(0), soft, counts)
        return grown

    def _gone_on(self, context: PassContext, given: Mapping[str, Any], mark: _Mark) -> dict[str, Any]:
        """A pass behind recurrent states alone, whose mask is of its own tokens: no earlier one is read."""
        grown = dict(given)
        batch, length = _text(given).shape[:2]
        mask, positions = given.get("attention_mask"), given.get("position_ids")
        if isinstance(mask, Tensor) and mask.shape != (batch, length):
            whole = self._text_mask(mask, batch, mark.n_text + length, mask.device)
            grown["attention_mask"] = whole[:, -length:]
        if positions is not None:
            counts = context.by_row(self._vectors(context).lengths[:, None], batch)
            grown["position_ids"] = _of_rows(positions, batch) + counts.to(positions.device)
        return grown

    def _per_layer_inputs(self, given: Mapping[str, Any], soft: Tensor) -> Tensor | None:
        """Second embeddings of all columns, `[batch, seq, layer, size]`; those of no token for soft ones."""
        nothing = torch.full_like(soft, self.word, dtype=torch.long)
        own, ids = given.get(PER_LAYER_INPUTS), given.get("input_ids")
        if own is None and ids is not None:
            ids = nn.functional.pad(ids, (soft.shape[1] - ids.shape[1], 0))
            return self.stack.per_layer_inputs(torch.where(soft, nothing, ids))
        if own is None:
            own = self.stack.per_layer_inputs(None, given["inputs_embeds"])
        empty = self.stack.per_layer_inputs(nothing)
        if own is None or empty is None:
            return None
        padded = nn.functional.pad(own, (0, 0, 0, 0, soft.shape[1] - own.shape[1], 0))
        return torch.where(soft[..., None, None], empty.to(padded), padded)

    def _text_mask(self, mask: Any, batch: int, length: int, device: torch.device) -> Tensor:
        if mask is None:
            return torch.ones(batch, length, dtype=torch.long, device=device)
        if not isinstance(mask, Tensor) or mask.ndim != 2 or mask.shape[1] != length:
            shape = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise BackboneError(
                "attention_mask",
                f"{shape} for {batch} rows of {length} tokens, before the soft tokens of {self.name}",
                f"[{batch}, {length}], 1 at real tokens",
                "pass a mask of two dimensions and no static cache, or use prefix_tuning",
            )
        return mask

    def _vectors(self, context: PassContext) -> RowTable:
        return context.vectors(self, self.in_front, pad="right")


def _text(given: Mapping[str, Any]) -> Tensor:
    """The ids or embeddings of a call, `[batch, seq]` or `[batch, seq, hidden]`."""
    return given["input_ids"] if given.get("input_ids") is not None else given["inputs_embeds"]


def _of_rows(positions: Tensor, batch: int) -> Tensor:
    """A caller's positions for every row, `[..., batch, seq]`."""
    positions = positions[None] if positions.ndim == 1 else positions
    return positions.expand(*positions.shape[:-2], batch, positions.shape[-1])


def _positions(given: Tensor, real: Tensor, soft: Tensor, counts: Tensor) -> Tensor:
    """The caller's positions of the text, `[..., batch or 1, seq]`, behind those of the soft tokens."""
    text = _of_rows(given, len(soft))
    first = text.masked_fill(~real, torch.iinfo(text.dtype).max).amin(dim=-1, keepdim=True)
    own = (soft.long().cumsum(-1) - 1).clamp(min=0) + first
    return torch.where(soft, own, nn.functional.pad(text + counts, (soft.shape[1] - text.shape[-1], 0)))


def _cut(output: Any, n_columns: int, width: int) -> Any:
    """An output for the text alone: states lose the columns in front, attention weights their queries."""
    if isinstance(output, Tensor):
        axis = output.ndim - 2
        if output.ndim in (3, 4) and output.shape[axis] == width and (axis == 1 or output.shape[3] == width):
            return output.narrow(axis, n_columns, width - n_columns)
        return output
    if isinstance(output, Mapping):
        cut = {
            name: _cut(value, n_columns, width) if name in _OF_TOKENS else value
            for name, value in output.items()
        }
        return type(output)(**cut)
    if isinstance(output, tuple):
        return tuple(_cut(value, n_columns, width) for value in output)
    return output
