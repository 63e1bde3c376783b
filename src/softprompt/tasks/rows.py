"""Shared by the tasks that read a record as rows of a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softprompt.errors import ConfigError, counted
from softprompt.tasks.batching import longest_first
from softprompt.tasks.inputs import Row

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


@dataclass(frozen=True)
class RowsExample:
    """One record in token ids.

    Args:
        id: of the record.
        rows: that the backbone reads, one or several.
    """

    id: str
    rows: tuple[Row, ...]

    @property
    def length(self) -> int:
        """Number of tokens in all rows; examples of like length share a batch."""
        return sum(len(row.ids) for row in self.rows)

    @property
    def n_rows(self) -> int:
        """Number of rows in a batch."""
        return len(self.rows)


def in_batches(
    examples: Sequence[Any],
    size: int,
    answer: Callable[[list[Any]], Sequence[Any]],
    progress: Callable[[int], None] | None,
) -> list[Any]:
    """One answer per example, in the order of the examples; a batch holds texts of like length.

    Args:
        examples: of any task with rows.
        size: examples in a batch.
        answer: gives the answers of one batch.
        progress: called after every batch with the number of examples in it.
    """
    answers: list[Any] = [None] * len(examples)
    for batch in longest_first([example.length for example in examples], size):
        for i, given in zip(batch, answer([examples[i] for i in batch]), strict=True):
            answers[i] = given
        if progress is not None:
            progress(len(batch))
    return answers


def check_rows_fit(
    backbone: "Backbone",
    max_tokens: int,
    prompt_positions: int,
    records: Sequence[Any],
    rows_of: Callable[[Any], Sequence[Row]],
) -> None:
    """Refuse texts that, with the prompt, need more positions than the backbone has.

    Args:
        backbone: whose limit counts.
        max_tokens: of a row, by the task's settings.
        prompt_positions: positions that the prompt takes up (0 where it shifts nothing).
        records: every one that will be read.
        rows_of: a record's rows.

    Raises:
        ConfigError: the longest does not fit.
    """
    limit = backbone.spec.max_positions
    if limit is None or prompt_positions + max_tokens <= limit:
        return
    for record in records:
        longest = max(len(row.ids) for row in rows_of(record))
        if prompt_positions + longest > limit:
            raise ConfigError(
                f"record {record.id}",
                f"{prompt_positions} prompt positions and {counted(longest, 'token')}",
                f"at most {limit} positions together ({backbone.spec.name} has no more)",
                "lower task.max_tokens or the prompt's length, or set method.positions=unshifted (not for "
                "soft tokens before an encoder, which are part of its input)",
            )
