"""The kinds of heads: one row for each, which `softprompt.head`, cards and prompts read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from softprompt.files import HeadCard, HeadKind
from softprompt.prompts.heads.pooling import PICTURE_POOLINGS, PROMPT, TEXT_POOLINGS


class OutputSizes(Protocol):
    """What a head needs of a backbone."""

    @property
    def state_size(self) -> int:
        """Width of the states."""
        ...

    def output_vectors(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The vocabulary matrix's rows of tokens, `[token, output]`, and their biases, `[token]`."""
        ...


def _states(card: HeadCard, backbone: OutputSizes) -> int:
    return backbone.state_size


def _label_scores(card: HeadCard, backbone: OutputSizes) -> int:
    return len(card.labels)


def _output_vectors(card: HeadCard, backbone: OutputSizes) -> int:
    return backbone.output_vectors([0])[0].shape[1]


def _random(card: HeadCard, backbone: OutputSizes) -> None:
    return None


def _identity(card: HeadCard, backbone: OutputSizes) -> tuple[Tensor, Tensor]:
    """The labels' scores as they are. Source: null prompts' code (arXiv 2106.13353)."""
    return torch.eye(len(card.labels)), torch.zeros(len(card.labels))


def _word_vectors(card: HeadCard, backbone: OutputSizes) -> tuple[Tensor, Tensor] | None:
    """The mean output vector and bias of each label's words, which give the scores of the words."""
    if not card.words:
        return None
    rows = [backbone.output_vectors(ids) for ids in card.words]
    vectors = torch.stack([vectors.float().mean(0) for vectors, _ in rows])
    return vectors, torch.stack([biases.float().mean() for _, biases in rows])


@dataclass(frozen=True)
class KindOfHead:
    """A row: what a kind of head reads and has.

    Args:
        width: numbers that the head reads at a time, on a backbone.
        has_labels: whether each output is a label.
        poolings: from which a user chooses the state that is read; none where there is no choice.
        of_pictures: whether the head reads pictures.
        of_words: whether the backbone's own output layer is used under the head.
        has_words: whether the outputs may begin at the vectors of words.
        has_hidden: whether there may be hidden layers.
        dropout: where the user gives none, without hidden layers.
        start: weights `[output, width]` and biases `[output]` where training begins; None is random.
    """

    width: Callable[[HeadCard, OutputSizes], int]
    has_labels: bool
    poolings: Mapping[str, object] = field(default_factory=dict)
    of_pictures: bool = False
    of_words: bool = False
    has_words: bool = False
    has_hidden: bool = False
    dropout: float = 0.1
    start: Callable[[HeadCard, OutputSizes], tuple[Tensor, Tensor] | None] = _random


KINDS: dict[HeadKind, KindOfHead] = {
    "sequence": KindOfHead(_states, True, TEXT_POOLINGS),
    "token": KindOfHead(_states, True),
    "span": KindOfHead(_states, False),
    "choice": KindOfHead(_states, False, TEXT_POOLINGS),
    "value": KindOfHead(_states, False, TEXT_POOLINGS),
    "calibration": KindOfHead(_label_scores, True, of_words=True, dropout=0.0, start=_identity),
    "soft": KindOfHead(
        _output_vectors, True, of_words=True, has_words=True, dropout=0.0, start=_word_vectors
    ),
    "picture": KindOfHead(_states, True, PICTURE_POOLINGS, of_pictures=True, has_hidden=True, dropout=0.0),
}
"""Every kind of head by its name in cards."""


def head_width(card: HeadCard, backbone: OutputSizes) -> int:
    """Numbers that a head reads at a time."""
    return KINDS[card.kind].width(card, backbone)


def reads_prompt(card: HeadCard | None) -> bool:
    """Whether a head reads a visual prompt's own outputs."""
    if card is None or card.pooling is None or not KINDS[card.kind].of_pictures:
        return False
    return PROMPT in PICTURE_POOLINGS[card.pooling]


def uses_output_layer(card: HeadCard | None) -> bool:
    """Whether the backbone's own output layer is used: without a head, and under one of words' scores."""
    return card is None or KINDS[card.kind].of_words
