"""Figures of papers, which a study's report shows beside its own."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from softprompt.config import Settings
from softprompt.errors import Problem, nearest

SURE = {
    "R": "read in the official repository",
    "P": "checked against the paper's text",
    "S": "agrees with a published summary of the paper",
    "M": "from memory, not verified",
}
"""How a published figure was checked, by the letter beside it."""


class Published(Settings):
    """A figure of a paper."""

    row: str
    """Row or reference of the study."""
    column: str = ""
    """Column of the study; empty where it has none, and for references."""
    metric: str | None = None
    """Test metric, `bleu@unseen` for a group; None is the first that the column shows."""
    value: str
    """As printed, with its digits."""
    std: str | None = None
    """As printed; None where the paper has none."""
    source: str = Field(min_length=1)
    """Paper, version and table, e.g. `arXiv 2101.00190v1, Table 1`."""
    sure: Literal["R", "P", "S", "M"]
    """How the figure was checked, a key of `SURE`."""
    note: str = ""
    """How the paper's experiment differs from ours: backbone, split."""

    @field_validator("value", "std", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        shown = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        try:
            if shown is None or (isinstance(shown, str) and math.isfinite(float(shown))):
                return shown
        except ValueError:
            pass
        raise ValueError(Problem("", repr(value), "a number as printed"))


def unshown(
    published: Sequence[Published], shown: Mapping[tuple[str, str], Sequence[str]]
) -> Iterator[Problem]:
    """Published figures of a metric that their row and column do not show.

    Args:
        shown: for each row and column the metrics that the table shows.
    """
    for i, figure in enumerate(published):
        where, known = f"published.{i}", shown.get((figure.row, figure.column))
        if known is None:
            got = f"{figure.row}, {figure.column}" if figure.column else f"{figure.row} without a column"
            yield Problem(where, got, "a row with one of its columns, or a reference without a column")
        elif figure.metric is not None and figure.metric not in known:
            expected = f"a metric that the column shows ({', '.join(known)})"
            yield Problem(f"{where}.metric", repr(figure.metric), expected)


def misplaced(
    published: Sequence[Published], rows: Sequence[str], columns: Sequence[str]
) -> Iterator[Problem]:
    """What is wrong with where published figures stand in a study.

    Args:
        rows: names of the study's rows and references.
        columns: names of its columns; none has one without a name.
    """
    seen = set()
    for i, figure in enumerate(published):
        where = f"published.{i}"
        if figure.row not in rows:
            known = f"one of the rows ({', '.join(rows)})"
            yield Problem(f"{where}.row", repr(figure.row), known, nearest(figure.row, rows))
        if figure.column and figure.column not in columns:
            known = f"one of the columns ({', '.join(columns) or 'there are none'})"
            yield Problem(f"{where}.column", repr(figure.column), known, nearest(figure.column, columns))
        place = (figure.row, figure.column, figure.metric)
        if place in seen:
            of = ", ".join(filter(None, place))
            yield Problem(where, f"a second figure of {of}", "one figure for each place")
        seen.add(place)
