"""What the queries of an attention call see: transformers' conventions, read in one place.

A mask arrives as one tensor or as None, and what it means depends on what else the call holds:

| mask | kernel | meaning |
|---|---|---|
| boolean | any | True attends |
| numbers | any | added to the scores: the least number of their precision hides a key, others are biases |
| None | `sdpa`, causal attention, several queries | query i sees the keys 0..i, counted from the first key |
| None | `sdpa`, one query or not causal | nothing is hidden |
| None | `eager` | nothing is hidden; eager functions add their masks |

Where there are more keys than queries, a causal `sdpa` without a mask is the first pass into a static cache,
and the keys beyond the queries are its empty places.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn


def is_causal(module: nn.Module, kwargs: Mapping[str, Any]) -> bool:
    """Whether an attention is causal, as the stock functions find out.

    Args:
        module: the attention, whose own flag counts where the call has none.
        kwargs: the call's other arguments.
    """
    given = kwargs.get("is_causal")
    return bool(getattr(module, "is_causal", True) if given is None else given)


@dataclass(frozen=True, eq=False)
class AttentionMask:
    """What each query sees.

    Args:
        values: boolean (True attends) or numbers that are added to the scores, `[batch or 1, head or 1, seq
            or 1, keys or 1]`; None hides nothing, unless `causal`.
        causal: without values, query i sees the keys 0..i alone.
        q_len: number of queries.
        n_keys: number of keys.
        dtype: of `values`, and of those that are made where there are none.
        device: likewise.
    """

    values: Tensor | None
    causal: bool
    q_len: int
    n_keys: int
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def read(
        cls, values: Tensor | None, *, kernel: str, causal: bool, query: Tensor, n_keys: int
    ) -> "AttentionMask":
        """What a mask means to the function that it was made for.

        Args:
            values: the mask, or none.
            kernel: `sdpa` or `eager`.
            causal: whether the attention is (see `is_causal`).
            query: `[batch, head, seq, key_dim]`.
            n_keys: number of keys.
        """
        q_len, device = query.shape[2], query.device
        if values is not None:
            return cls(values, False, q_len, n_keys, values.dtype, values.device)
        adds = kernel == "eager"
        dtype = query.dtype if adds else torch.bool
        return cls(None, causal and not adds and q_len > 1, q_len, n_keys, dtype, device)

    @property
    def n_visible(self) -> int:
        """How many keys, from the first on, some query may see; what follows is empty (a static cache)."""
        return min(self.q_len, self.n_keys) if self.causal else self.n_keys

    @property
    def same_for_heads(self) -> bool:
        """Whether all heads see the same."""
        return self.values is None or self.values.shape[1] == 1

    @property
    def leaves_every_query_a_key(self) -> bool:
        """Whether no query is without keys; a mask that is added leaves all of them."""
        shown = self.boolean()
        return shown is None or bool(shown.any(-1).all())

    def boolean(self) -> Tensor | None:
        """True where a query sees a key, `[batch or 1, head or 1, seq or 1, keys or 1]`.

        None where nothing is hidden, and where numbers are added: those are biases as well as masks.
        """
        values = self._spelled_out()
        return None if values is None or values.dtype != torch.bool else values

    def additive(self, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores, `[batch or 1, head or 1, seq or 1, keys or 1]`; None where nothing is.

        Args:
            dtype: in this precision, whose least number hides a key.
        """
        values = self._spelled_out()
        return None if values is None else _converted(values, dtype)

    def apply(self, scores: Tensor, hidden: float = -torch.inf) -> Tensor:
        """The scores with the mask over them.

        Args:
            scores: `[batch, head, seq, keys]`.
            hidden: what a boolean mask puts where a key is hidden.
        """
        shown = self.boolean()
        if shown is not None:
            return scores.masked_fill(~shown, hidden)
        return scores if self.values is None else scores + self.values

    def first_queries(self, n: int) -> "AttentionMask":
        """What the first `n` queries see."""
        values = self._spelled_out()
        return replace(self, values=None if values is None else values[:, :, :n], causal=False, q_len=n)

    def with_prefix(self, valid: Tensor | None, n: int) -> "AttentionMask":
        """The mask over a prompt's columns and then the first `n_visible` keys.

        Args:
            valid: which prompt columns each row sees, `[batch, n]`; None is all.
            n: number of prompt columns.
        """
        values = self._spelled_out()
        n_keys = n + self.n_visible
        if values is None:
            if valid is None:
                return replace(self, n_keys=n_keys)
            values = _converted(
                torch.ones(1, 1, self.q_len, self.n_keys, dtype=torch.bool, device=self.device), self.dtype
            )
        if self.causal:
            values = values[..., : self.n_visible]
        batch = values.shape[0] if valid is None else valid.shape[0]
        columns = (
            torch.ones(1, n, dtype=torch.bool, device=self.device) if valid is None else valid.to(self.device)
        )
        columns = columns[:, None, None, :].expand(batch, values.shape[1], values.shape[2], n)
        columns = _converted(columns, values.dtype)
        own = self.n_visible if values.shape[3] == 1 else values.shape[3]
        wide = torch.cat([columns, values.expand(batch, -1, -1, own)], dim=-1)
        return replace(self, values=wide, causal=False, n_keys=n_keys)

    def with_tokens(self, place: int, n_keys: int) -> "AttentionMask":
        """The mask of tokens that attend to each other and that further tokens were put among.

        Everything sees the further tokens, and they see what some other token sees (not the padding), with
        nothing added. A mask that already counts them stays as it is.

        Args:
            place: how many tokens stand before the further ones.
            n_keys: number of all tokens.
        """
        values = self.values
        if values is None or values.shape[3] == n_keys:
            return self
        n_more = n_keys - values.shape[3]
        wide = values.new_full((*values.shape[:2], n_keys, n_keys), values.dtype == torch.bool)
        kept = [i for i in range(n_keys) if not place <= i < place + n_more]
        index = torch.tensor(kept, device=values.device)
        wide[:, :, index[:, None], index] = values
        seen = values if values.dtype == torch.bool else values > torch.finfo(values.dtype).min / 2
        seen = seen.any(2, keepdim=True).expand(-1, -1, n_more, len(kept))
        wide[:, :, place : place + n_more, index] = _converted(seen, values.dtype)
        return replace(self, values=wide, q_len=n_keys, n_keys=n_keys)

    def showing(self, keys: Tensor) -> "AttentionMask":
        """The mask where each row sees only some of the keys that it saw.

        Args:
            keys: which, `[batch, keys]`, boolean.
        """
        seen, values = keys.to(self.device)[:, None, None, :], self._spelled_out()
        if values is None:
            values = _converted(seen, self.dtype)
        elif values.dtype == torch.bool:
            values = values & seen
        else:
            values = values.masked_fill(~seen, torch.finfo(values.dtype).min)
        return replace(self, values=values, causal=False)

    def for_groups(self, group: int) -> "AttentionMask":
        """The mask where the heads of a group are further queries of their one key/value head.

        Args:
            group: heads for each key/value head.
        """
        values, q_len = self._spelled_out(), self.q_len
        # One row of values for several queries serves those of the other heads too.
        if values is not None and values.shape[2] == q_len:
            values = values.repeat(1, 1, group, 1)
        return replace(self, values=values, causal=False, q_len=group * q_len)

    def blocks(self, size: int) -> list[tuple[int, int, int]]:
        """Blocks of queries: first, end, and how many keys, from the first on, some of them sees in some row.

        Args:
            size: queries of a block.
        """
        blocks = [(first, min(self.q_len, first + size), self.n_keys) for first in range(0, self.q_len, size)]
        shown = self.boolean()
        if shown is None or 1 in shown.shape[2:]:
            return blocks
        shown = shown.flatten(0, 1).any(0)
        last = [shown[first:end].any(0).nonzero() for first, end, _ in blocks]
        return [
            (first, end, int(columns[-1]) + 1 if len(columns) else n)
            for (first, end, n), columns in zip(blocks, last, strict=True)
        ]

    def _spelled_out(self) -> Tensor | None:
        """The values, made where causality alone stands for them."""
        if not self.causal:
            return self.values
        return torch.ones(self.q_len, self.n_keys, dtype=torch.bool, device=self.device).tril()[None, None]


def _converted(values: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask or numbers in another precision; a key that is hidden has its least number."""
    if values.dtype != torch.bool or dtype == torch.bool:
        return values.to(dtype)
    return torch.zeros_like(values, dtype=dtype).masked_fill(~values, torch.finfo(dtype).min)
