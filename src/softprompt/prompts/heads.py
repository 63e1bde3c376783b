"""Heads: a linear layer on a backbone's states, trained and stored with its prompt."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.errors import PromptError
from softprompt.store.card import HeadCard

KINDS = {"sequence": True, "token": True, "span": False, "choice": False, "value": False}
"""Every kind of head, and whether it has labels."""

_POOLED = ("sequence", "choice", "value")


def head(
    kind: str, labels: Sequence[str] = (), *, pooling: str | None = None, dropout: float = 0.1
) -> HeadCard:
    """Describe a head; a method given it trains it with the prompt.

    Args:
        kind: `sequence` (one label per text), `token` (one per token), `span` (start and end),
            `choice` (a score per choice) or `value` (a number per text).
        labels: every label, in the order of the outputs (`sequence` and `token`).
        pooling: the state that is read: `first` real token ([CLS]), `last` real token, or the `mean` of
            the real tokens; None is `first` on encoders and `last` elsewhere (`sequence`, `choice`, `value`).
        dropout: on the states, while training.

    Raises:
        PromptError: a kind, label list or pooling that says nothing.
    """
    if kind not in KINDS:
        raise PromptError("head.kind", repr(kind), f"one of {', '.join(KINDS)}")
    if isinstance(labels, str) or KINDS[kind] != bool(labels):
        wanted = "at least two labels" if KINDS[kind] else f"none: a {kind} head has no labels"
        raise PromptError("head.labels", repr(labels) if labels else "nothing", wanted)
    if len(set(labels)) < len(labels) or len(labels) == 1:
        raise PromptError("head.labels", list(labels), "at least two labels, each once")
    if pooling is not None and (kind not in _POOLED or pooling not in ("first", "last", "mean")):
        raise PromptError(
            "head.pooling",
            f"{pooling!r} for a {kind} head",
            f"'first', 'last', 'mean' ({', '.join(_POOLED)} heads)",
        )
    if not 0 <= dropout < 1:
        raise PromptError("head.dropout", dropout, "a probability from 0 up to, but not, 1")
    stated: Any = {"kind": kind, "pooling": pooling}
    return HeadCard(**stated, labels=tuple(labels), dropout=dropout)


class Head(nn.Module):
    """A linear layer on hidden states, in float32 whatever the backbone's precision is.

    Source: P-Tuning v2 (2110.07602) §3.2: a randomly initialised linear head. Its weights begin at
    N(0, 0.02) and its biases at 0, as the official code's do through transformers. Deviations: no frozen
    pooler between state and head (the official RoBERTa runs read through one), and it begins from a
    generator of its own.

    Args:
        card: what it reads and says; `pooling` resolved.
        width: of the states.
        generator: source of the random numbers; None leaves zeros to be loaded over.
    """

    def __init__(self, card: HeadCard, width: int, generator: torch.Generator | None = None):
        super().__init__()
        self.card = card
        self.dropout = nn.Dropout(card.dropout)
        self.weight = nn.Parameter(torch.zeros(card.n_outputs, width))
        self.bias = nn.Parameter(torch.zeros(card.n_outputs))
        if generator is not None:
            with torch.no_grad():
                self.weight.normal_(0, 0.02, generator=generator)

    def forward(
        self, states: Float[Tensor, "row seq hidden"], mask: Int[Tensor, "row seq"]
    ) -> Float[Tensor, "row ..."]:
        """The outputs, `[row, output]` for one per text, `[row, seq, output]` for one per token.

        Args:
            states: of the text alone.
            mask: 1 on real tokens, with the padding on either side.
        """
        if self.card.pooling is not None:
            states = pool(states, mask, self.card.pooling)
        return nn.functional.linear(self.dropout(states.float()), self.weight, self.bias)


def pool(
    states: Float[Tensor, "row seq hidden"], mask: Int[Tensor, "row seq"], pooling: str
) -> Float[Tensor, "row hidden"]:
    """The state of each row's first or last real token, or the mean of its real ones."""
    if pooling == "mean":
        # In float32, and without the padding's states, which need not even be numbers.
        real = states.float().masked_fill(mask[..., None] == 0, 0)
        return real.sum(1) / mask.sum(1, keepdim=True)
    places = torch.arange(mask.shape[1], device=mask.device)
    # Of the real places the largest; for the first, of the same counted from the right.
    last = (places * mask).argmax(1)
    first = ((mask.shape[1] - places) * mask).argmax(1)
    chosen = first if pooling == "first" else last
    return states[torch.arange(len(states), device=states.device), chosen]


def resolve_pooling(card: HeadCard, sites: Sequence[str]) -> HeadCard:
    """The card with its pooling decided: `first` on encoders, `last` on everything else.

    Args:
        card: as the user wrote it.
        sites: the backbone's attention sites; an encoder has only `encoder`.
    """
    if card.kind not in _POOLED or card.pooling is not None:
        return card
    return card.model_copy(update={"pooling": "first" if set(sites) == {"encoder"} else "last"})
