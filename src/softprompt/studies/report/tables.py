"""The tables of a report, without markup."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from softprompt.studies.comparisons.rows import n_wins, paired_table, wins_table
from softprompt.studies.definition.measures import label
from softprompt.studies.definition.published import SURE, Published
from softprompt.studies.results.numbers import mean_and_std
from softprompt.studies.results.study_result import CellResult, StudyResult

_COMPARISONS = (
    (
        "wins", "Pairs of rows over the seeds", wins_table,
        "Mean of row minus mean of rival, averaged over the columns (more is better for the row), and in "
        "brackets in how many of them the row is significantly better over the seeds",
    ),
    (
        "paired", "Pairs of rows over the columns", paired_table,
        "Paired over the columns' means, one-sided, the better row first",
    ),
)  # fmt: skip
"""The tables that a study asks for by a setting: its name, the caption, what makes the table, a note."""


@dataclass(frozen=True)
class Head:
    """The head of a column; neighbours of one group stand under one name.

    Args:
        group: a column of the study; empty outside of any.
    """

    text: str
    group: str = ""


@dataclass(frozen=True)
class Entry:
    """A cell of a table.

    Args:
        best: no complete rival in its column is better.
        published: whether the figure is a paper's, not ours.
    """

    text: str
    best: bool = False
    published: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        name: of its file.
        head: of each column, the names of rows first.
        lines: rows, each with its name first.
        notes: how to read the table.
    """

    name: str
    caption: str
    head: tuple[Head, ...]
    lines: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The heading in a report; the caption of the results is the title of the report itself."""
        return "Results" if self.name == "results" else self.caption

    @property
    def groups(self) -> tuple[tuple[str, int, int], ...]:
        """The groups of columns: name, first and last column from 1; empty without a named group."""
        groups, first = [], 1
        for group, members in groupby(self.head, key=lambda head: head.group):
            last = first + len(list(members)) - 1
            groups.append((group, first, last))
            first = last + 1
        return tuple(groups) if any(group for group, _, _ in groups) else ()

    def texts(self, bold: str = "{}", between: str = " ") -> list[list[str]]:
        """The head and the rows as plain texts.

        Args:
            bold: the form of the best entry of a column.
            between: separates the group of a column from its head.
        """
        heads = [between.join(filter(None, (head.group, head.text))) for head in self.head]
        return [heads, *([bold.format(e.text) if e.best else e.text for e in line] for line in self.lines)]


class _PublishedFigures:
    """The published figures of a study, with a short mark for the source of each."""

    def __init__(self, result: StudyResult, none: bool) -> None:
        published = [] if none else result.grid.settings.published
        self._result = result
        self._sources = list(dict.fromkeys(figure.source for figure in published))
        self._at = {self._place(figure): figure for figure in published}

    def _place(self, figure: Published) -> tuple[str, str, str]:
        cells = self._result.all_cells
        same = [c.cell for c in cells if (c.cell.row, c.cell.column) == (figure.row, figure.column)]
        first = same[0].metric if same else ""
        return figure.row, figure.column, figure.metric or first

    def beside(self, row: str, column: str, measure: str) -> list[Entry]:
        """The entry of a cell, blank without a figure; no entry if no row of the column has a figure."""
        if not any(place[1:] == (column, measure) for place in self._at):
            return []
        figure = self._at.get((row, column, measure))
        if figure is None:
            return [Entry("", published=True)]
        spread = f" ± {figure.std}" if figure.std is not None else ""
        return [Entry(f"{figure.value}{spread} [{self._mark(figure)}]", published=True)]

    def _mark(self, figure: Published) -> str:
        return figure.sure + (str(self._sources.index(figure.source) + 1) if len(self._sources) > 1 else "")

    @property
    def notes(self) -> tuple[str, ...]:
        """The sources of the figures, and how their experiments differ from ours."""
        sources = {
            self._mark(figure): f"{figure.source}, {SURE[figure.sure]}" for figure in self._at.values()
        }
        by_source = sorted(sources.items(), key=lambda item: (item[0][1:], item[0]))
        lines = [f"Published, [{mark}]: {text}" for mark, text in by_source]
        remarks: dict[str, list[str]] = {}
        for row, column, measure in self._at:
            figure = self._at[row, column, measure]
            if figure.note:
                where = ", ".join(filter(None, (row, column, label(measure, direction=False))))
                remarks.setdefault(figure.note, []).append(where)
        for note, places in remarks.items():
            of = "all published figures" if len(places) == len(self._at) else "; ".join(places)
            lines.append(f"Published, {of}: {note}")
        return tuple(lines)


def comparison_tables(result: StudyResult) -> tuple[Table, ...]:
    """The tables of pairs of rows that the study asks for."""
    tables = []
    for name, caption, compare, note in _COMPARISONS:
        if getattr(result.grid.settings, name):
            head, *rows = compare(result)
            lines = tuple(tuple(map(Entry, row)) for row in rows)
            tables.append(Table(name, caption, tuple(map(Head, head)), lines, (note,)))
    return tuple(tables)


def results_table(result: StudyResult, short: bool = False) -> Table:
    """Rows by columns, and under them references and chance.

    Args:
        short: whether a column shows all its measures together, without the papers' figures; else each
            measure has a column, and the papers' figures another beside it.
    """
    grid, published = result.grid, _PublishedFigures(result, none=short)
    wins = n_wins(result) if grid.settings.wins else None
    places: list[tuple[str, tuple[str, ...]]] = []
    for column in grid.columns:
        measures = result.column(column)[0].cell.metrics
        places += [(column, measures)] if short else [(column, (measure,)) for measure in measures]
    head = [Head(grid.axis)]
    for column, measures in places:
        head.append(Head(" / ".join(map(label, measures)), column))
        head += [Head("paper", column) for _ in published.beside("", column, measures[0])]
    head += [Head("# wins")] * (wins is not None)
    head += [Head("trained parameters"), Head("stored parameters")]
    lines = []
    for row in grid.rows:
        line = [Entry(row)]
        for column, measures in places:
            cell = result.at(row, column)
            line.append(Entry(shown_cell(cell, measures), best=result.is_best(cell, measures[0])))
            line += published.beside(row, column, measures[0])
        line += [] if wins is None else [Entry(str(wins[row]))]
        lines.append((*line, *_counts([result.at(row, column) for column in grid.columns])))
    for cell in result.references:
        # A reference has no column, so its figures begin at the left.
        several = [cell.cell.metrics] if short else [(measure,) for measure in cell.cell.metrics]
        shown = [Entry(shown_cell(cell, measures)) for measures in several]
        shown[1:1] = published.beside(cell.cell.row, "", cell.cell.metric)
        blank = [Entry("")] * (len(head) - 3 - len(shown))
        lines.append((Entry(f"{cell.cell.row} (reference)"), *shown, *blank, *_counts([cell])))
    if grid.settings.chance is not False:
        lines.append(_chance(result, published, places, len(head)))
    notes = (_reading(result, short), *published.notes)
    return Table("results", grid.settings.name, tuple(head), tuple(lines), notes)


def shown_cell(cell: CellResult, measures: Sequence[str] = ()) -> str:
    """`71.23 ± 1.20 / 60.00 ± 0.50 [lr 1e-4]`: measures of a cell, and the chosen candidate.

    The state is added if runs are missing, and stands alone if there is no value.

    Args:
        measures: empty for all of the cell's.
    """
    measures = measures or cell.cell.metrics
    chose = f" [{cell.cell.chosen}]" if cell.cell.chosen and cell.cell.metric in measures else ""
    if cell.mean is None:
        choosing = " (choosing)" if not cell.runs and cell.state != "not run" else ""
        return f"{cell.state}{choosing}{chose}"
    shown = " / ".join(mean_and_std(cell.values_of(measure), measure) for measure in measures) + chose
    return shown if cell.complete else f"{shown} ({len(cell.values)} of {cell.cell.n_runs}, {cell.state})"


def _counts(cells: Sequence[CellResult]) -> tuple[Entry, Entry]:
    shown = []
    for name in ("trained_parameters", "stored_parameters"):
        counts = sorted({n for cell in cells for n in cell.count(name)})
        ends = dict.fromkeys((counts[0], counts[-1])) if counts else ()
        shown.append(Entry("–".join(f"{n:,}" for n in ends) or "-"))
    return shown[0], shown[1]


def _chance(
    result: StudyResult, published: _PublishedFigures, places: Sequence[tuple[str, Sequence[str]]], width: int
) -> tuple[Entry, ...]:
    line = [Entry("chance (majority class)" if result.grid.settings.chance is True else "chance")]
    for column, measures in places:
        level = result.chance.get(column, {})
        shown = " / ".join(f"{level[measure]:.2f}" for measure in measures if measure in level)
        line.append(Entry(shown or ("-" if column in result.no_chance else "")))
        line += published.beside("", column, measures[0])
    return (*line, *[Entry("")] * (width - 2 - len(line)), Entry("0"), Entry("0"))


def _reading(result: StudyResult, short: bool) -> str:
    several = max((cell.cell.n_runs for cell in result.all_cells), default=0) > 1
    values = "mean ± sample standard deviation over the seeds" if several else "one run each"
    cut = "" if short else "means are cut towards the worse side, never rounded up; "
    return f"Test scores, {values}; {cut}the best complete cell of a column is bold"
