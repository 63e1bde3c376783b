"""The key/values of several prompts as tables that rows index into."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from softprompt.prompts.placements import KeyValues


@dataclass(frozen=True)
class Table:
    """One attention's key/values of every active prompt, padded to the longest.

    Args:
        keys: `[prompt_id, kv_head, prompt, key_dim]`.
        values: `[prompt_id, kv_head, prompt, value_dim]`.
        valid: which columns are real, `[prompt_id, prompt]`; None means all.
        lengths: real columns of each, `[prompt_id]`.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor | None
    lengths: Tensor

    def gather(self, rows: Tensor) -> "Table":
        """Keys, values and lengths by batch row; `valid` stays by prompt."""
        rows = rows.to(self.keys.device)
        return Table(self.keys[rows], self.values[rows], self.valid, self.lengths[rows])


def make_tables(
    placed: Sequence[Sequence[KeyValues]], sites: Sequence[tuple[str, int]], dtype: torch.dtype
) -> dict[tuple[str, int], Table]:
    """A table for each attention that any prompt enters.

    Args:
        placed: the key/values of each prompt (empty for rows without a prompt).
        sites: the (site, layer) pairs in which at least one prompt has key/values.
        dtype: the backbone's precision; prompts are cast once here, not in every layer.
    """
    by_site: list[dict[tuple[str, int], tuple[Tensor, Tensor]]] = []
    for blocks in placed:
        own: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        for block in blocks:
            keys, values = block.keys.to(dtype), block.values.to(dtype)
            for i, layer in enumerate(block.layers):
                own[block.site, layer] = (keys[i], values[i])
        by_site.append(own)
    masks: dict[tuple[int, ...], Tensor] = {}
    return {where: _table([own.get(where) for own in by_site], masks) for where in sites}


def _table(entries: Sequence[tuple[Tensor, Tensor] | None], masks: dict[tuple[int, ...], Tensor]) -> Table:
    some = next(entry for entry in entries if entry is not None)
    lengths = [0 if entry is None else entry[0].shape[1] for entry in entries]
    longest = max(lengths)
    device = some[0].device
    keys, values = [], []
    for entry in entries:
        for out, like, tensor in ((keys, some[0], entry and entry[0]), (values, some[1], entry and entry[1])):
            if tensor is None:
                tensor = like.new_zeros(like.shape[0], 0, like.shape[2])
            out.append(torch.nn.functional.pad(tensor, (0, 0, 0, longest - tensor.shape[1])))
    counts = torch.tensor(lengths, device=device)
    valid = None
    if min(lengths) < longest:
        # One mask for all layers of equal lengths, so that what is derived from it is computed once.
        valid = masks.setdefault(tuple(lengths), torch.arange(longest, device=device)[None] < counts[:, None])
    return Table(torch.stack(keys), torch.stack(values), valid, counts)
