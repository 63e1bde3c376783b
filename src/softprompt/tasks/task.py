"""What training asks of a task, and the two small things that pass between them."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import torch

from softprompt.errors import DataError
from softprompt.files import HeadCard
from softprompt.text import Template

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


class Task(Protocol):
    """What is asked of a backbone: how a record becomes tokens, a loss, an output and a score."""

    @property
    def head(self) -> HeadCard | None:
        """The head that reads the answer off the backbone's states; None where none does."""
        ...

    @property
    def template(self) -> Template | None:
        """What stands around the record's texts; None where nothing is written."""
        ...

    @property
    def answers_bare(self) -> bool:
        """Whether the backbone can answer without a prompt."""
        ...

    @property
    def resolved(self) -> dict[str, Any]:
        """The task's own settings with nothing left open."""
        ...

    def usable(self, records: Sequence[Any]) -> list[Any]:
        """The records that can be asked about; the run counts and reports the others."""
        ...

    @property
    def n_cut(self) -> int:
        """Texts that were too long and were cut, so far."""
        ...

    def encode(self, record: Any) -> Any:
        """The token ids of a record in the form that training consumes, an `AnyExample`."""
        ...

    def loss(self, examples: Sequence[Any]) -> torch.Tensor:
        """Summed loss over the labelled tokens of these examples, a float32 scalar."""
        ...

    def predict(
        self, records: Sequence[Any], progress: Callable[[int], None] | None = None, seed: int = 0
    ) -> list[Any]:
        """One output per record, in their order."""
        ...

    def demonstrations(self, records: Sequence[Any], k: int, seed: int) -> list[list[int]]:
        """Token ids of `k` whole examples as the backbone meets them."""
        ...

    def score(self, records: Sequence[Any], outputs: Sequence[Any], metrics: Sequence[str]) -> list[ScoreRow]:
        """One row of scores per group of records."""
        ...

    def artefacts(self, records: Sequence[Any], outputs: Sequence[Any]) -> Mapping[str, str | bytes]:
        """Files that say more than scores do, by name; runs and evaluations keep them beside the outputs."""
        ...

    def check(self, records: Sequence[Any], labelled: bool = True) -> None:
        """Raise for the first record that cannot be used."""
        ...

    def check_positions(self, records: Sequence[Any], prompt_positions: int, training: bool) -> None:
        """Raise where the prompt and the longest text need more positions than the backbone has."""
        ...
