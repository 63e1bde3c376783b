"""What a scorer takes and gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.errors import DataError


@dataclass(frozen=True)
class Scores:
    """Figures by metric name, and what a reader should know about them."""

    values: dict[str, float]
    """In the order asked for; a metric that could not be computed is absent, and a note says why."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pairs:
    """Outputs and references of one task, checked, one of each for a record.

    Attributes:
        outputs: what was predicted.
        references: what is right.
        labels: the declared labels, in the order of their indices; empty for tasks without.
        groups: which question each record belongs to; None where records belong to none.
        rankings: labels by record, the likeliest first; empty for tasks that rank none.
    """

    outputs: list[Any]
    references: list[Any]
    labels: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    rankings: tuple[tuple[str, ...], ...] = ()


def check_lengths(outputs: Sequence[object], references: Sequence[object]) -> None:
    """Refuse nothing to score, and sides of different lengths.

    Raises:
        DataError: with both lengths.
    """
    if len(outputs) != len(references):
        got = f"{len(outputs)} outputs and {len(references)} references"
        raise DataError("metrics", got, "as many outputs as references")
    if not outputs:
        raise DataError("metrics", "no outputs", "at least one output")
