"""Rows of a study against each other, over seeds and over columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from softprompt.markdown import Table
from softprompt.studies.comparisons.statistics import ALPHA, Wins, count_wins, paired_t, wilcoxon
from softprompt.studies.definition.measures import higher_is_better
from softprompt.studies.results.study_result import CellResult, StudyResult


@dataclass(frozen=True)
class Pair:
    """Two sides with paired values: rows of a study over its columns, or runs over their tasks.

    Args:
        ours: the row's values, one for each column that both have; more is better.
        theirs: the rival's, in the same order.
    """

    row: str
    rival: str
    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def n(self) -> int:
        """The number of pairs."""
        return len(self.ours)

    @property
    def difference(self) -> float | None:
        """Mean of the row minus mean of the rival; None without pairs."""
        return (sum(self.ours) - sum(self.theirs)) / self.n if self.n else None

    @property
    def n_better(self) -> int:
        """The number of pairs in which the row is better."""
        return sum(a > b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def n_worse(self) -> int:
        """The number of pairs in which the row is worse."""
        return sum(a < b for a, b in zip(self.ours, self.theirs, strict=True))

    @cached_property
    def t(self) -> float | None:
        """One-sided p of a paired t-test; None for fewer than two pairs."""
        return paired_t(self.ours, self.theirs) if self.n > 1 else None

    @cached_property
    def wilcoxon(self) -> float | None:
        """One-sided p of a Wilcoxon signed-rank test; None for fewer than two pairs."""
        return wilcoxon(self.ours, self.theirs) if self.n > 1 else None

    @property
    def shown(self) -> list[str]:
        """Both p as tables show them."""
        return [
            "-" if p is None else f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}" for p in (self.t, self.wilcoxon)
        ]


def better_first(row: str, rival: str, ours: Sequence[float], theirs: Sequence[float]) -> Pair:
    """The two sides as a pair, with the better one as the row; of equals the first is the row."""
    if sum(ours) < sum(theirs):
        return Pair(rival, row, theirs, ours)
    return Pair(row, rival, ours, theirs)


def wins_by_column(result: StudyResult) -> dict[str, Wins]:
    """By column, which rows beat which over the seeds; cells that are not complete take no part."""
    wins = {}
    for column in result.grid.columns:
        cells = [cell for cell in result.column(column) if cell.complete and len(cell.values) > 1]
        wins[column] = count_wins({cell.cell.row: _turned(cell, cell.values) for cell in cells})
    return wins


def n_wins(result: StudyResult) -> dict[str, int]:
    """For each row the number of columns in which it wins."""
    wins = wins_by_column(result).values()
    return {row: sum(row in column.winners for column in wins) for row in result.grid.rows}


def pairs(result: StudyResult) -> list[Pair]:
    """Every row against every other, over the columns in which both are complete."""
    rows = result.grid.rows
    return [Pair(row, rival, *_sides(result, row, rival)) for row in rows for rival in rows if rival != row]


def n_beaten(wins: Mapping[str, Wins], row: str, rival: str) -> int:
    """The number of columns in which a row is significantly better than a rival over the seeds."""
    return sum(column.p.get(row, {}).get(rival, 1.0) < ALPHA for column in wins.values())


def wins_table(result: StudyResult) -> Table:
    """A head and a line per row: the difference from each rival, and the number of columns won against it."""
    rows, wins = result.grid.rows, wins_by_column(result)
    shown = {
        (p.row, p.rival): f"{p.difference:+.2f} ({n_beaten(wins, p.row, p.rival)})" if p.n else "-"
        for p in pairs(result)
    }
    return [
        ["row - rival", *rows],
        *([row, *(shown.get((row, rival), "") for rival in rows)] for row in rows),
    ]


def paired_table(result: StudyResult) -> Table:
    """A head and a line per pair, the better row first."""
    rows = result.grid.rows
    compared = [better_first(row, rival, *_sides(result, row, rival)) for row, rival in combinations(rows, 2)]
    compared.sort(key=lambda p: (rows.index(p.row), rows.index(p.rival)))
    return [
        ["row", "rival", "mean difference", "columns", "paired t-test p", "Wilcoxon p"],
        *([p.row, p.rival, f"{p.difference:+.2f}", str(p.n), *p.shown] for p in compared if p.n),
    ]


def as_json(result: StudyResult) -> dict[str, Any]:
    """Every p-value, score and difference that the study asks for, as JSON values."""
    settings, facts = result.grid.settings, {}
    compared = pairs(result) if settings.wins or settings.paired else []
    lines = [{"row": p.row, "rival": p.rival, "difference": p.difference, "columns": p.n} for p in compared]
    if settings.wins:
        wins = wins_by_column(result)
        columns = {
            column: {"p": one.p, "score": one.score, "winners": list(one.winners)}
            for column, one in wins.items()
        }
        matrix = [line | {"beaten": n_beaten(wins, line["row"], line["rival"])} for line in lines]
        facts["wins"] = {"alpha": ALPHA, "rows": n_wins(result), "columns": columns, "pairs": matrix}
    if settings.paired:
        facts["paired"] = [
            line | {"t": p.t, "wilcoxon": p.wilcoxon} for line, p in zip(lines, compared, strict=True)
        ]
    return facts


def _sides(result: StudyResult, row: str, rival: str) -> tuple[list[float], list[float]]:
    """The means of two rows in the columns in which both are complete."""
    ours, theirs = [], []
    for column in result.grid.columns:
        a, b = result.at(row, column), result.at(rival, column)
        if a.mean is not None and b.mean is not None and a.complete and b.complete:
            ours += _turned(a, [a.mean])
            theirs += _turned(b, [b.mean])
    return ours, theirs


def _turned(cell: CellResult, values: Sequence[float]) -> list[float]:
    """The values, negative where lower is better, so that more is better."""
    return [value if higher_is_better(cell.cell.metric) else -value for value in values]
