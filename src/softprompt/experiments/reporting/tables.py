"""The tables of a report, free of any markup; what writes them decides how they look."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from softprompt.experiments import comparisons
from softprompt.experiments.measures import label
from softprompt.experiments.numbers import mean_and_std
from softprompt.experiments.published import SURE, Published
from softprompt.experiments.results import CellResult, StudyResult


@dataclass(frozen=True)
class Head:
    """The head of a column; neighbours of one group stand under one name.

    Args:
        group: a column of the study; empty outside of any.
    """

    group: str
    text: str


@dataclass(frozen=True)
class Entry:
    """A cell of a table.

    Args:
        best: no complete rival in its column is better.
        published: it is a paper's figure, not ours.
    """

    text: str
    best: bool = False
    published: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        name: of its file.
        head: one for each entry of a line, the first names the rows.
        lines: rows, each with its name first.
        notes: what has to be known to read it.
    """

    name: str
    caption: str
    head: tuple[Head, ...]
    lines: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()


class _Beside:
    """The published figures of a study, by place, with short marks for where they are from."""

    def __init__(self, result: StudyResult) -> None:
        self._result = result
        self._sources = list(dict.fromkeys(one.source for one in result.grid.settings.published))
        self._at = {self._place(one): one for one in result.grid.settings.published}

    def _place(self, one: Published) -> tuple[str, str, str]:
        cells = self._result.all_cells
        same = [c.cell for c in cells if (c.cell.row, c.cell.column) == (one.row, one.column)]
        first = same[0].metric if same else ""
        return one.row, one.column, one.metric or first

    def of_column(self, column: str, measure: str) -> bool:
        """Whether any row has a published figure there."""
        return any(place[1:] == (column, measure) for place in self._at)

    def entry(self, row: str, column: str, measure: str) -> Entry:
        """The figure of a cell with its mark; empty without one."""
        one = self._at.get((row, column, measure))
        if one is None:
            return Entry("", published=True)
        spread = f" ± {one.std}" if one.std is not None else ""
        return Entry(f"{one.value}{spread} [{self._mark(one)}]", published=True)

    def _mark(self, one: Published) -> str:
        return one.sure + (str(self._sources.index(one.source) + 1) if len(self._sources) > 1 else "")

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the figures are from, and what makes them other experiments than ours."""
        found = {self._mark(one): f"{one.source}, {SURE[one.sure]}" for one in self._at.values()}
        lines = [f"Published, [{mark}]: {text}" for mark, text in sorted(found.items(), key=_by_source)]
        remarks: dict[str, list[str]] = {}
        for row, column, measure in self._at:
            one = self._at[row, column, measure]
            if one.note:
                where = ", ".join(filter(None, (row, column, label(measure, direction=False))))
                remarks.setdefault(one.note, []).append(where)
        for note, places in remarks.items():
            of = "all published figures" if len(places) == len(self._at) else "; ".join(places)
            lines.append(f"Published, {of}: {note}")
        return tuple(lines)


def _by_source(item: tuple[str, str]) -> tuple[str, str]:
    mark, _ = item
    return mark[1:], mark


def tables(result: StudyResult) -> tuple[Table, ...]:
    """Every table of a study: its results, and its comparisons as far as it asks for them."""
    settings, found = result.grid.settings, [results_table(result)]
    if settings.wins:
        note = (
            "Mean of row minus mean of rival, averaged over the columns (more is better for the row), and in "
            "brackets in how many of them the row is significantly better over the seeds"
        )
        lines = comparisons.wins_table(result)
        found.append(_plain("wins", "Pairs of rows over the seeds", lines, (note,)))
    if settings.paired:
        note = "Paired over the columns' means, one-sided, the better row first"
        lines = comparisons.paired_table(result)
        found.append(_plain("paired", "Pairs of rows over the columns", lines, (note,)))
    return tuple(found)


def results_table(result: StudyResult) -> Table:
    """Rows by columns, a column for each measure and one for the paper's figures beside it."""
    grid, beside = result.grid, _Beside(result)
    wins = comparisons.n_wins(result) if grid.settings.wins else None
    places = [(column, measure) for column in grid.columns for measure in _measures(result, column)]
    head = [Head("", grid.axis)]
    for column, measure in places:
        head.append(Head(column, label(measure)))
        if beside.of_column(column, measure):
            head.append(Head(column, "paper"))
    counted = [Head("", "# wins")] * (wins is not None)
    head += [*counted, Head("", "trained parameters"), Head("", "stored parameters")]
    lines = []
    for row in grid.rows:
        line = [Entry(row)]
        for column, measure in places:
            cell = result.at(row, column)
            line.append(Entry(_shown(cell, measure), best=result.is_best(cell, measure)))
            if beside.of_column(column, measure):
                line.append(beside.entry(row, column, measure))
        line += [] if wins is None else [Entry(str(wins[row]))]
        lines.append((*line, *_counts([result.at(row, column) for column in grid.columns])))
    width = len(head) - 3
    for cell in result.references:
        # A reference has no column: its figures stand from the left on.
        shown = [Entry(_shown(cell, measure)) for measure in cell.cell.metrics]
        if beside.of_column("", cell.cell.metric):
            shown.insert(1, beside.entry(cell.cell.row, "", cell.cell.metric))
        blank = [Entry("")] * (width - len(shown))
        lines.append((Entry(f"{cell.cell.row} (reference)"), *shown, *blank, *_counts([cell])))
    if grid.settings.chance is not False:
        lines.append(_chance(result, beside, places, len(counted)))
    return Table("results", grid.settings.name, tuple(head), tuple(lines), (_reading(result), *beside.notes))


def _measures(result: StudyResult, column: str) -> tuple[str, ...]:
    return result.column(column)[0].cell.metrics


def _shown(cell: CellResult, measure: str) -> str:
    """`71.23 ± 1.20 [lr 1e-4]`, with what is missing; or what became of the cell where it has no value."""
    first = measure == cell.cell.metric
    of = f" [{cell.cell.chosen}]" if cell.cell.chosen and first else ""
    if cell.mean is None:
        return f"{cell.state}{of}"
    shown = mean_and_std(cell.values_of(measure), measure) + of
    if cell.complete:
        return shown
    return f"{shown} ({len(cell.values)} of {cell.cell.n_runs}, {cell.state})"


def _counts(cells: Sequence[CellResult]) -> tuple[Entry, Entry]:
    shown = []
    for name in ("trained_parameters", "stored_parameters"):
        found = sorted({n for cell in cells for n in cell.count(name)})
        ends = dict.fromkeys((found[0], found[-1])) if found else ()
        shown.append(Entry("–".join(f"{n:,}" for n in ends) or "-"))
    return shown[0], shown[1]


def _chance(
    result: StudyResult, beside: _Beside, places: Iterable[tuple[str, str]], n_more: int
) -> tuple[Entry, ...]:
    name = "chance (majority class)" if result.grid.settings.chance is True else "chance"
    line = [Entry(name)]
    for column, measure in places:
        level = result.chance.get(column, {}).get(measure)
        missing = "-" if column in result.no_chance else ""
        line.append(Entry(missing if level is None else f"{level:.2f}"))
        line += [Entry("", published=True)] * beside.of_column(column, measure)
    return (*line, *[Entry("")] * n_more, Entry("0"), Entry("0"))


def _reading(result: StudyResult) -> str:
    several = max((cell.cell.n_runs for cell in result.all_cells), default=0) > 1
    values = "mean ± sample standard deviation over the seeds" if several else "one run each"
    return (
        f"Test scores, {values}; means are cut towards the worse side, never rounded up; the best complete "
        "cell of a column is bold"
    )


def _plain(name: str, caption: str, lines: list[list[str]], notes: tuple[str, ...]) -> Table:
    head, *rows = lines
    return Table(
        name, caption, tuple(Head("", text) for text in head),
        tuple(tuple(Entry(text) for text in row) for row in rows), notes,
    )  # fmt: skip
