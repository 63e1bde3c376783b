"""What passes between a task and its training: encoded records, and rows of scores."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from softprompt.errors import DataError

if TYPE_CHECKING:
    from softprompt.metrics import Scores

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
        n_rows: rows of the batch that it takes.
    """

    id: str
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    length: int
    n_targets: int
    n_rows: int = 1


def drawn(records: Sequence[Any], k: int, seed: int) -> tuple[list[Any], random.Random]:
    """`k` records to demonstrate a task with, and the generator that drew them.

    Raises:
        DataError: there are fewer than `k` records.
    """
    if k > len(records):
        raise DataError(
            "demonstrations",
            k,
            f"at most {len(records)}, as many as there are records",
            "ask for fewer",
        )
    draw = random.Random(seed)
    return draw.sample(list(records), k), draw


class ScoreRow(TypedDict):
    """The scores of one group of records; `notes` says why a wanted metric is missing."""

    group: str
    values: dict[str, float]
    notes: list[str]


def score_row(group: str, scores: "Scores") -> ScoreRow:
    """The row of a group, from what `softprompt.metrics.score` computed for its records."""
    return {"group": group, "values": dict(scores.values), "notes": list(scores.notes)}


class AnyExample(Protocol):
    """What training needs to know of an encoded record, whatever the task."""

    @property
    def id(self) -> str:
        """The record it comes from."""
        ...

    @property
    def length(self) -> int:
        """Tokens, to batch by."""
        ...

    @property
    def n_targets(self) -> int:
        """How many losses are summed."""
        ...

    @property
    def n_rows(self) -> int:
        """Rows of the batch that it takes."""
        ...
