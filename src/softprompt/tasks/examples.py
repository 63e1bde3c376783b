"""What passes between a task and its training: encoded records, and rows of scores."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from softprompt.errors import DataError

if TYPE_CHECKING:
    from softprompt.metrics import Scores

IGNORED = -100
"""The label of a position without a loss."""


@dataclass(frozen=True)
class Example:
    """One training pair in token ids.

    Args:
        id: of the record.
        input_ids: what the backbone reads (on a decoder: source, separator, target, end).
        labels: the right token at each position, `IGNORED` elsewhere; on a decoder as long as `input_ids`,
            on an encoder-decoder the target alone.
        length: number of tokens; examples of like length share a batch.
        n_targets: number of labelled tokens.
        n_rows: number of rows in a batch.
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


@dataclass(frozen=True)
class Outcome:
    """What a task says of one record, and how sure it is.

    Args:
        output: as `Task.predict` gives it.
        probabilities: by label, the likeliest first; of tags the shares of those said, one for each word; of
            choices one for each. None for a task that gives none.
        confidence: the probability of what is said; of tags the smallest of the sentence.
    """

    output: Any
    probabilities: Mapping[str, float] | Sequence[float] | None = None
    confidence: float | None = None


def outcome_of(output: Any, facts: Mapping[str, Any], labels: Sequence[str]) -> Outcome:
    """An outcome from an output and what `Task.explained` says of it.

    Args:
        labels: of the task, in the order of its probabilities; of a task without labels, none.
    """
    shares = facts.get("probabilities")
    if isinstance(output, Mapping):  # a ranking, which holds what it says of itself
        return Outcome(output)
    if shares is None:
        return Outcome(output, confidence=facts.get("probability"))
    if isinstance(output, str):
        if output not in labels or len(shares) != len(labels):
            return Outcome(output)
        order = sorted(range(len(labels)), key=lambda i: -shares[i])
        return Outcome(output, {labels[i]: shares[i] for i in order}, shares[labels.index(output)])
    sure = shares[output] if isinstance(output, int) else min(shares, default=None)
    return Outcome(output, shares, sure)


class ScoreRow(TypedDict):
    """The scores of one group of records; `notes` gives the reason for each metric that is missing."""

    group: str
    values: dict[str, float]
    notes: list[str]


def score_row(group: str, scores: "Scores") -> ScoreRow:
    """The row of a group, from what `softprompt.metrics.score` computed for its records."""
    return {"group": group, "values": dict(scores.values), "notes": list(scores.notes)}


class AnyExample(Protocol):
    """What training needs to know of an encoded record of any task."""

    @property
    def id(self) -> str:
        """Of the record."""
        ...

    @property
    def length(self) -> int:
        """Number of tokens; examples of like length share a batch."""
        ...

    @property
    def n_targets(self) -> int:
        """Number of losses that are summed."""
        ...

    @property
    def n_rows(self) -> int:
        """Number of rows in a batch."""
        ...
