"""The key/values of several prompts as tables that rows index into.

A step with many prompts must not cost more than a step with one, so everything here is done for all
layers at once: one stack of the prompts, one gather of the rows, one split into layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from softprompt.prompts.placements import KeyValues

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
    _by_rows: dict[int, list[Entry]] = field(default_factory=dict)

    def entry(self, layer: int, rows: Tensor | None, masks: dict[tuple[int, int], Tensor]) -> Entry:
        """What a batch needs in one layer.

        Args:
            layer: index in this table.
            rows: for each row its prompt, `[batch]`, the same for every batch of one size; None is one
                prompt for all.
            masks: masks by row, kept for all tables, so that what is derived from them is shared.
        """
        batch = 0 if rows is None else len(rows)
        if batch not in self._by_rows:
            self._by_rows[batch] = self._layers(rows, masks)
        return self._by_rows[batch][layer]

    def _layers(self, rows: Tensor | None, masks: dict[tuple[int, int], Tensor]) -> list[Entry]:
        keys, values, valid, lengths = self.keys, self.values, self.valid, self.lengths
        if rows is not None and rows.tolist() != list(range(len(keys))):
            rows = rows.to(keys.device)
            keys, values, lengths = keys[rows], values[rows], lengths[rows]
            if valid is not None:
                valid = masks.setdefault((id(self.valid), len(rows)), valid[rows])
        return [Entry(k, v, valid, lengths) for k, v in zip(keys.unbind(1), values.unbind(1), strict=True)]


@dataclass(frozen=True)
class Tables:
    """Every attention that a prompt enters, as a layer of a table."""

    tables: dict[Where, tuple[KeyValueTable, int]]
    _masks: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def entry(self, where: Where, rows: Tensor | None) -> Entry:
        """What a batch needs in one attention; `rows` as in `KeyValueTable.entry`."""
        table, layer = self.tables[where]
        return table.entry(layer, rows, self._masks)

    def tensors(self) -> list[Tensor]:
        """All of their keys and values."""
        return [tensor for table, _ in self.tables.values() for tensor in (table.keys, table.values)]


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
