"""Prompts as tensors that a call uses: each lowered by the backbone's frozen layers, all in tables by row.

A step with many prompts must not cost more than a step with one. So a table is made for all layers at once:
the prompts are stacked once, gathered by row once, and split into layers once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import AttentionCall, Recorder
from softprompt.backbones.injection.compatibility import stands_in_text
from softprompt.backbones.injection.initial_states import make_states
from softprompt.backbones.injection.pictures import VisualParts, VisualTables, lower_visual, tabulate
from softprompt.backbones.inspection import (
    PER_LAYER_INPUTS,
    AttentionSite,
    ModelMap,
    intercepted,
    word_of_soft_tokens,
)
from softprompt.backbones.runtime import whole_in_backward, without_checkpointing
from softprompt.prompts import AttentionShape, KeyValues, Prompt, SlotEmbeddings, States

_Block = TypeVar("_Block", KeyValues, States)

Where = tuple[str, int]
"""A site and a layer of it."""


@dataclass(frozen=True)
class Entry:
    """One attention's key/values as a batch needs them.

    Args:
        keys: `[batch or 1, kv_head, prompt, key_dim]`.
        values: `[batch or 1, kv_head, prompt, value_dim]`.
        valid: which columns are real, `[batch, prompt]`; None means all.
        lengths: real columns of each row, `[batch or 1]`.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor | None
    lengths: Tensor


@dataclass
class KeyValueTable:
    """The key/values of every active prompt in some layers of one size, padded to the longest prompt.

    Args:
        keys: `[prompt_id, layer, kv_head, prompt, key_dim]`.
        values: `[prompt_id, layer, kv_head, prompt, value_dim]`.
        valid: which columns are real, `[prompt_id, prompt]`; None means all.
        lengths: real columns of each, `[prompt_id]`.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor | None
    lengths: Tensor
    _by_rows: dict[tuple[int, bool], list[Entry]] = field(default_factory=dict)

    def entry(
        self, layer: int, rows: Tensor | None, masks: dict[tuple[int, int], Tensor], recomputed: bool
    ) -> Entry:
        """What a batch needs in one layer.

        Args:
            layer: index in this table.
            rows: for each row its prompt, `[batch]`, the same for every batch of one size; None is one
                prompt for all.
            masks: masks by row, kept for all tables, so that what is derived from them is shared.
            recomputed: whether layers run again in the backward pass. Then each gathers its own rows, since
                it must save the same tensors both times.
        """
        if recomputed:
            keys, values = self.keys[:, layer : layer + 1], self.values[:, layer : layer + 1]
            return self._layers(keys, values, rows, masks)[0]
        # A model may run some of its layers without gradients (HRM), which must not end those of the others.
        how = (0 if rows is None else len(rows), torch.is_grad_enabled())
        if how not in self._by_rows:
            self._by_rows[how] = self._layers(self.keys, self.values, rows, masks)
        return self._by_rows[how][layer]

    def _layers(
        self, keys: Tensor, values: Tensor, rows: Tensor | None, masks: dict[tuple[int, int], Tensor]
    ) -> list[Entry]:
        valid, lengths = self.valid, self.lengths
        if rows is not None and rows.tolist() != list(range(len(keys))):
            rows = rows.to(keys.device)
            keys, values, lengths = keys[rows], values[rows], lengths[rows]
            if valid is not None:
                valid = masks.setdefault((id(self.valid), len(rows)), valid[rows])
        return [Entry(k, v, valid, lengths) for k, v in zip(keys.unbind(1), values.unbind(1), strict=True)]


@dataclass
class Tables:
    """Every attention that a prompt enters, as a layer of a table.

    Args:
        tables: the table of each attention, and its layer there.
        recomputed: whether layers run again in the backward pass (gradient checkpointing).
    """

    tables: dict[Where, tuple[KeyValueTable, int]]
    recomputed: bool = False
    _masks: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def entry(self, where: Where, rows: Tensor | None) -> Entry:
        """What a batch needs in one attention; `rows` as in `KeyValueTable.entry`."""
        table, layer = self.tables[where]
        return table.entry(layer, rows, self._masks, self.recomputed)

    def tensors(self) -> list[Tensor]:
        """All of their keys and values."""
        return [tensor for table, _ in self.tables.values() for tensor in (table.keys, table.values)]


@dataclass
class LoweredPrompts:
    """The prompts' tensors as one call uses them, read when the call begins.

    Args:
        tables: key/values.
        states: that recurrent layers begin from, by layer, `[prompt_id, *state]`.
        vectors: soft tokens of each prompt that are part of the input, `[slot, hidden]`; None for others.
        visual: the parts of visual prompts that are no key/values.
        weights: tensors in place of the model's own.
        learns: whether some take gradients in every pass; slots do not count, since a text may have none.
    """

    tables: Tables
    vectors: Sequence[Tensor | None] = ()
    states: Mapping[int, Tensor] = field(default_factory=dict)
    visual: VisualTables = field(default_factory=VisualTables)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    learns: bool = False

    @classmethod
    def none(cls) -> "LoweredPrompts":
        """The tensors of no prompt."""
        return cls(Tables({}))


Lowered = tuple[KeyValues, ...] | tuple[States, ...] | SlotEmbeddings | VisualParts
"""A prompt as a call uses it."""


def lower_all(
    model_map: ModelMap,
    prompts: Sequence[Prompt | None],
    used: Sequence[Prompt | None],
    as_tokens: bool,
    by_layers: bool,
    alone: Callable[..., AbstractContextManager[Any]],
    weights: Mapping[str, Tensor],
) -> LoweredPrompts:
    """The tensors of prompts as they are now.

    Args:
        model_map: of the backbone.
        prompts: those that rows can have.
        used: those that rows have.
        as_tokens: run deep visual prompts as tokens.
        by_layers: run soft tokens before the text through the layers alone.
        alone: gives for a prompt a context in which its own modules beside linear layers act on every input.
        weights: tensors in place of the model's own, put there already.
    """
    lowered: list[Lowered | None] = []
    for prompt in prompts:
        if prompt is None:
            lowered.append(None)
            continue
        with alone(prompt):
            lowered.append(lower(prompt, model_map, as_tokens, by_layers))
    visual = VisualTables()
    if model_map.vision is not None:
        parts = [entry if isinstance(entry, VisualParts) else VisualParts() for entry in lowered]
        visual = tabulate(parts, [parts[prompts.index(prompt)] for prompt in used])
    dtype = input_weight(model_map).dtype
    tables = make_tables([_key_values(entry) for entry in lowered], dtype)
    vectors = [entry.vectors if isinstance(entry, SlotEmbeddings) else None for entry in lowered]
    placed = [_states(entry) for entry in lowered]
    states = make_states(placed, model_map.recurrences) if any(placed) else {}
    every = (*tables.tensors(), *states.values(), *weights.values())
    learns = any(tensor.requires_grad for tensor in every)
    return LoweredPrompts(tables, vectors, states, visual, weights, learns)


def lower(prompt: Prompt, model_map: ModelMap, as_tokens: bool, by_layers: bool = True) -> Lowered:
    """A prompt as key/values where that is exact: soft tokens before a decoder's text run through it once.

    Args:
        prompt: the prompt.
        model_map: of the backbone.
        as_tokens: run deep visual prompts as tokens, the paper's own formulation.
        by_layers: run soft tokens before the text through the layers alone.
    """
    if prompt.card.placement == "image":
        assert model_map.vision is not None
        return lower_visual(prompt, model_map.vision, as_tokens)
    placed = prompt()
    if isinstance(placed, tuple) or not by_layers or stands_in_text(prompt):
        return placed  # type: ignore[return-value]
    like = input_weight(model_map)
    (stack,) = model_map.stacks.values()
    inputs = {"inputs_embeds": placed.vectors.to(like)[None]}
    if stack.takes_per_layer_inputs:
        word = word_of_soft_tokens(model_map.model)
        words = torch.full((1, len(placed.vectors)), word, device=like.device)
        second = stack.per_layer_inputs(words)
        assert second is not None
        inputs[PER_LAYER_INPUTS] = second
    return observe(model_map, inputs)


def input_weight(model_map: ModelMap) -> Tensor:
    """The first weight that an input meets; its device and precision are those of the model's computation.

    The weight is looked up at each call, since embeddings may have been resized after loading.
    """
    vision = model_map.vision
    return model_map.model.get_input_embeddings().weight if vision is None else vision.weight  # type: ignore[return-value]


def observe(model_map: ModelMap, inputs: dict[str, Tensor]) -> tuple[KeyValues, ...]:
    """The model's own key/values on an input of batch 1, for every site; differentiable.

    Args:
        model_map: of the backbone.
        inputs: for the base model, e.g. `input_ids` or `inputs_embeds` of batch 1.
    """
    options = {"use_cache": False} if model_map.decodes else {}
    recorder = Recorder()
    attentions = [attention.module for attention in model_map.attentions]
    with (
        model_map.kept.hidden(),
        intercepted(attentions, recorder),
        without_checkpointing(model_map.checkpointable),
    ):
        model_map.base(**inputs, **options)
    by_module: dict[int, list[AttentionCall]] = {}
    for call in recorder.calls:
        whole_in_backward(call.module, (call.key, call.value))
        by_module.setdefault(id(call.module), []).append(call)
    # Attentions are listed in the order of their calls; calls of a shared module are taken in that order.
    turns: dict[int, Iterator[AttentionCall]] = {m: iter(calls) for m, calls in by_module.items()}
    groups: dict[tuple[str, AttentionShape], list[tuple[AttentionSite, AttentionCall]]] = {}
    for attention in model_map.attentions:
        call = next(turns.get(id(attention.module), iter(())), None)
        if call is not None:
            groups.setdefault((attention.site, attention.shape), []).append((attention, call))
    return tuple(
        KeyValues(
            site,
            tuple(attention.layer for attention, _ in group),
            torch.stack([call.key[0] for _, call in group]),
            torch.stack([call.value[0] for _, call in group]),
        )
        for (site, _), group in groups.items()
    )


def _key_values(lowered: Lowered | None) -> tuple[KeyValues, ...]:
    if isinstance(lowered, VisualParts):
        return lowered.key_values
    return _blocks(lowered, KeyValues)


def _states(lowered: Lowered | None) -> tuple[States, ...]:
    return _blocks(lowered, States)


def _blocks(lowered: Lowered | None, kind: type[_Block]) -> tuple[_Block, ...]:
    parts = lowered if isinstance(lowered, tuple) else ()
    return tuple(part for part in parts if isinstance(part, kind))


def make_tables(placed: Sequence[Sequence[KeyValues]], dtype: torch.dtype) -> Tables:
    """Tables of prompts.

    Args:
        placed: the key/values of each prompt (empty for rows without a prompt).
        dtype: the backbone's precision; prompts are cast once here, not in every layer.
    """
    # Layers that the same blocks cover share a table: (prompt_id, block number) of each.
    covering: dict[Where, list[tuple[int, int]]] = {}
    for prompt_id, blocks in enumerate(placed):
        for number, block in enumerate(blocks):
            for layer in block.layers:
                covering.setdefault((block.site, layer), []).append((prompt_id, number))
    groups: dict[tuple[str, tuple[tuple[int, int], ...]], list[int]] = {}
    for (site, layer), blocks in covering.items():
        groups.setdefault((site, tuple(blocks)), []).append(layer)
    tables: dict[Where, tuple[KeyValueTable, int]] = {}
    masks: dict[tuple[int, ...], Tensor] = {}
    for (site, numbers), layers in groups.items():
        chosen = {prompt_id: placed[prompt_id][number] for prompt_id, number in numbers}
        table = _table([chosen.get(prompt_id) for prompt_id in range(len(placed))], layers, dtype, masks)
        tables |= {(site, layer): (table, i) for i, layer in enumerate(layers)}
    return Tables(tables)


def _table(
    blocks: Sequence[KeyValues | None],
    layers: list[int],
    dtype: torch.dtype,
    masks: dict[tuple[int, ...], Tensor],
) -> KeyValueTable:
    lengths = [0 if block is None else block.length for block in blocks]
    longest = max(lengths)
    pairs = [None if block is None else _of_layers(block, layers) for block in blocks]
    some = next(pair for pair in pairs if pair is not None)
    keys, values = (
        torch.stack([_padded(pair and pair[i], some[i], longest) for pair in pairs]).to(dtype) for i in (0, 1)
    )
    counts = torch.tensor(lengths, device=keys.device)
    valid = None
    if min(lengths) < longest:
        # One mask for all tables of equal lengths, so that what is derived from it is computed once.
        made = torch.arange(longest, device=keys.device)[None] < counts[:, None]
        valid = masks.setdefault(tuple(lengths), made)
    return KeyValueTable(keys, values, valid, counts)


def _of_layers(block: KeyValues, layers: list[int]) -> tuple[Tensor, Tensor]:
    if list(block.layers) == layers:
        return block.keys, block.values
    index = torch.tensor([block.layers.index(layer) for layer in layers], device=block.keys.device)
    return block.keys.index_select(0, index), block.values.index_select(0, index)


def _padded(tensor: Tensor | None, like: Tensor, longest: int) -> Tensor:
    if tensor is None:
        return like.new_zeros(like.shape[0], like.shape[1], longest, like.shape[3])
    if tensor.shape[2] == longest:
        return tensor
    return nn.functional.pad(tensor, (0, 0, 0, longest - tensor.shape[2]))
