"""The input and the result of a scorer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.errors import ConfigError, DataError, kind_of, shortened
from softprompt.metrics.languages import Reading


@dataclass(frozen=True)
class Scores:
    """Figures by metric name, and notes for the reader."""

    values: dict[str, float]
    """In the order of the request, without metrics that could not be computed; a note has the reason."""
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.notes, str):
            do = f"write ({shortened(repr(self.notes), 60)},)"
            raise ConfigError("softprompt.metrics.Scores: notes", "a text", "a sequence of texts", do)
        if not isinstance(self.values, Mapping):
            got, expected = kind_of(self.values), "figures by the names of metrics"
            raise ConfigError("softprompt.metrics.Scores: values", got, expected)


@dataclass(frozen=True)
class Pairs:
    """Outputs and references of one task, checked, one of each for a record.

    Attributes:
        outputs: what was predicted.
        references: what is right.
        labels: the declared labels, in the order of their indices; empty for tasks without.
        groups: which question each record belongs to; None where records belong to none.
        rankings: labels by record, the likeliest first; empty for tasks without rankings.
        reading: the language of the references; None for tasks whose answers are no texts.
    """

    outputs: list[Any]
    references: list[Any]
    labels: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    rankings: tuple[tuple[str, ...], ...] = ()
    reading: Reading | None = None


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
