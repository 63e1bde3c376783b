"""What training asks of a task, and the two small things that pass between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

import torch

from softprompt.data.records import Record

IGNORED = -100
"""The label of a position that no loss is taken at."""


@dataclass(frozen=True)
class Example:
    """One training pair in token ids.

    Args:
        id: the record it comes from.
        input_ids: what the backbone reads (on a decoder: source, separator, target, end).
        labels: the token wanted at each position, `IGNORED` where none is; on a decoder as long as
            `input_ids`, on an encoder-decoder the target alone.
        length: tokens, to batch by.
        n_targets: labelled tokens.
    """

    id: str
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    length: int
    n_targets: int


class ScoreRow(TypedDict):
    """The scores of one group of records; `notes` says why a wanted metric is missing."""

    group: str
    values: dict[str, float]
    notes: list[str]


class Task(Protocol):
    """What is asked of a backbone: how a record becomes tokens, a loss, an output and a score."""

    @property
    def n_cut(self) -> int:
        """Texts that were too long and were cut, so far."""
        ...

    def encode(self, record: Record) -> Example:
        """The token ids of one (source, target) pair."""
        ...

    def loss(self, examples: Sequence[Example]) -> torch.Tensor:
        """Summed loss over the labelled tokens of these examples, a float32 scalar."""
        ...

    def predict(
        self, records: Sequence[Record], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[str]:
        """One output per record, in their order."""
        ...

    def demonstrations(self, records: Sequence[Record], k: int, seed: int) -> list[list[int]]:
        """Token ids of `k` whole examples as the backbone meets them."""
        ...

    def score(
        self, records: Sequence[Record], outputs: Sequence[str], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """One row of scores per group of records."""
        ...

    def check_positions(self, records: Sequence[Record], prompt_positions: int, training: bool) -> None:
        """Raise where the prompt and the longest text need more positions than the backbone has."""
        ...
