"""Padded tensors of rows of token ids, and batches of texts of like length."""

from collections.abc import Sequence
from typing import Literal

import torch


def pad(
    rows: Sequence[Sequence[int]],
    value: int,
    side: Literal["left", "right"],
    device: torch.device | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack rows of unequal length.

    Returns:
        ids [batch, seq] padded with `value`, and a mask [batch, seq] that is 1 on real tokens (both int64).
    """
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), value, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        span = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[i, span] = torch.tensor(row, dtype=torch.long)
        mask[i, span] = 1
    return ids.to(device), mask.to(device)


def longest_first(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices in batches of `size`, longest first: little padding, and too little memory fails at once."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [order[start : start + size] for start in range(0, len(order), size)]
