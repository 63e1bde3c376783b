"""Rows of a study against each other: over the seeds in every column, and over the columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.experiments.measures import higher_is_better
from softprompt.experiments.results import CellResult, StudyResult
from softprompt.experiments.statistics import ALPHA, Wins, count_wins, paired_t, wilcoxon

Table = list[list[str]]


@dataclass(frozen=True)
class Pair:
    """A row against a rival, as far as both are complete.

    Args:
        difference: of the means, averaged over the columns; more is better for the row.
        n_columns: in how many columns both are complete.
        n_beaten: in how many of them the row is significantly better over the seeds.
        t: one-sided p of a paired t-test over the columns' means; None for fewer than two columns.
        wilcoxon: the same of a Wilcoxon signed-rank test.
    """

    row: str
    rival: str
    difference: float | None
    n_columns: int
    n_beaten: int
    t: float | None
    wilcoxon: float | None


def wins_by_column(result: StudyResult) -> dict[str, Wins]:
    """Who beats whom over the seeds, column by column; cells that are not complete take no part."""
    found = {}
    for column in result.grid.columns:
        cells = [cell for cell in result.column(column) if cell.complete and len(cell.values) > 1]
        found[column] = count_wins({cell.cell.row: _turned(cell, cell.values) for cell in cells})
    return found


def n_wins(result: StudyResult) -> dict[str, int]:
    """For each row in how many columns it has a win."""
    wins = wins_by_column(result).values()
    return {row: sum(row in column.winners for column in wins) for row in result.grid.rows}


def pairs(result: StudyResult) -> list[Pair]:
    """Every row against every other."""
    wins = wins_by_column(result)
    rows = result.grid.rows
    return [_pair(result, wins, row, rival) for row in rows for rival in rows if rival != row]


def wins_table(result: StudyResult) -> Table:
    """A head and a line per row: its difference from each rival, and in how many columns it beats it."""
    found = {(pair.row, pair.rival): pair for pair in pairs(result)}
    rows = result.grid.rows
    lines = [["row - rival", *rows]]
    for row in rows:
        lines.append([row, *("" if row == rival else _shown(found[row, rival]) for rival in rows)])
    return lines


def paired_table(result: StudyResult) -> Table:
    """A head and a line per pair, the better row first."""
    lines = [["row", "rival", "mean difference", "columns", "paired t-test p", "Wilcoxon p"]]
    for pair in pairs(result):
        order = result.grid.rows.index
        first = pair.difference or 0.0
        if pair.difference is None or first < 0 or (first == 0 and order(pair.row) > order(pair.rival)):
            continue  # its mirror image says it
        shown = ["-" if p is None else _p(p) for p in (pair.t, pair.wilcoxon)]
        lines.append([pair.row, pair.rival, f"{pair.difference:+.2f}", str(pair.n_columns), *shown])
    return lines


def as_json(result: StudyResult) -> dict[str, Any]:
    """Every p-value, score and difference, as JSON values; only what the study asks for."""
    settings, found = result.grid.settings, {}
    compared = pairs(result) if settings.wins or settings.paired else []
    if settings.wins:
        columns = {
            column: {"p": wins.p, "score": wins.score, "winners": list(wins.winners)}
            for column, wins in wins_by_column(result).items()
        }
        matrix = [
            {"row": p.row, "rival": p.rival, "difference": p.difference, "columns": p.n_columns}
            | {"beaten": p.n_beaten}
            for p in compared
        ]
        found["wins"] = {"alpha": ALPHA, "rows": n_wins(result), "columns": columns, "pairs": matrix}
    if settings.paired:
        found["paired"] = [
            {"row": p.row, "rival": p.rival, "difference": p.difference, "columns": p.n_columns}
            | {"t": p.t, "wilcoxon": p.wilcoxon}
            for p in compared
        ]
    return found


def _pair(result: StudyResult, wins: dict[str, Wins], row: str, rival: str) -> Pair:
    ours, theirs, n_beaten = [], [], 0
    for column in result.grid.columns:
        a, b = result.at(row, column), result.at(rival, column)
        if a.mean is None or b.mean is None or not (a.complete and b.complete):
            continue
        ours += _turned(a, [a.mean])
        theirs += _turned(b, [b.mean])
        n_beaten += wins[column].p.get(row, {}).get(rival, 1.0) < ALPHA
    n = len(ours)
    difference = (sum(ours) - sum(theirs)) / n if n else None
    t, signed = (paired_t(ours, theirs), wilcoxon(ours, theirs)) if n > 1 else (None, None)
    return Pair(row, rival, difference, n, n_beaten, t, signed)


def _turned(cell: CellResult, values: Sequence[float]) -> list[float]:
    """The values so that more is better."""
    return [value if higher_is_better(cell.cell.metric) else -value for value in values]


def _shown(pair: Pair) -> str:
    return "-" if pair.difference is None else f"{pair.difference:+.2f} ({pair.n_beaten})"


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}"
