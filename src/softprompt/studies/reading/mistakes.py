"""Mistakes in a study's cells, gathered so that one error names all of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from softprompt.config import RunSettings
from softprompt.errors import ConfigError, Problem, SoftpromptError
from softprompt.studies.definition.cells import Cell
from softprompt.studies.definition.chance import no_majority
from softprompt.studies.definition.measures import GROUPS, group_of, metric_of

_LONGEST_NAME = 200
"""The most bytes of the name of a run's folder; file systems take 255."""


class Mistakes:
    """Mistakes with the cells that have them; a mistake of many cells is named once.

    Args:
        file: the study file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._cells: dict[Problem, dict[str, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._cells)

    @property
    def full(self) -> bool:
        """Whether there are as many as an error lists, so that no further cell need be looked at."""
        return len(self._cells) >= 100

    def add(self, cell: str, where: str, got: str, expected: str, do: str = "") -> None:
        """Add a mistake of a cell, given as the parts of a `Problem`."""
        self.add_all(cell, [Problem(where, got, expected, do)])

    def add_all(self, cell: str, problems: Iterable[object]) -> None:
        """Add several mistakes of a cell, e.g. those of an error."""
        for problem in map(_as_problem, problems):
            self._cells.setdefault(problem, {})[cell] = None

    @contextmanager
    def gathered(self, cell: str) -> Iterator[None]:
        """A context that an error of softprompt ends; its mistakes are added to the cell's."""
        try:
            yield
        except SoftpromptError as error:
            self.add_all(cell, error.problems)

    def tell(self) -> None:
        """Raises ConfigError with all mistakes, if there are any."""
        if self._cells:
            raise ConfigError.several(
                problem.inside(f"{self._file}: {first}{f' (and {len(others)} more)' if others else ''}")
                for problem, (first, *others) in self._cells.items()
            )

    def check_metrics(self, cell: str, where: str, shown: Sequence[str], settings: RunSettings) -> None:
        """Add the metrics that the table shows and the runs of a cell do not have."""
        for metric in shown:
            known = f"one of the metrics of the run ({', '.join(settings.metrics)})"
            if metric_of(metric) in settings.metrics:
                if group_of(metric) in ("all", *GROUPS):
                    continue
                known = " or ".join(f"{metric_of(metric)}@{group}" for group in GROUPS)
            self.add(cell, where, repr(metric) if metric else "nothing", known)

    def check_keys(self, cell: str, layers: Mapping[str, Sequence[str]], of_all: Mapping[str, Any]) -> None:
        """Add the keys that two places set, since what tells cells apart must not be overwritten.

        Args:
            layers: keys by the place that sets them, in the order in which they are set.
            of_all: settings of all cells.
        """
        names = list(layers)
        for i, later in enumerate(names):
            for earlier in names[:i]:
                sections = {section for key in layers[earlier] for section in _sections(key)}
                for key in layers[later]:
                    if key in sections:
                        got = f"a value from {later} and another from {earlier}"
                        self.add(cell, key, got, "one place that sets it")
        for key in (*of_all, *(key for name in names if name != "the seed" for key in layers[name])):
            if key in ("name", "output"):
                self.add(cell, key, "a value for a run", "no value, since the study names its runs' folders")

    def check_together(self, cells: Sequence[Cell]) -> None:
        """Add runs that share a folder, and cells of one column that have different metrics."""
        folders: dict[str, str] = {}
        for run in (run for cell in cells for run in (*cell.folds, *cell.possible)):
            if (size := len(run.settings.name.encode())) > _LONGEST_NAME:
                unit = "characters" if run.settings.name.isascii() else "bytes"
                got = f"a folder's name of {size:,} {unit}"
                self.add(
                    run.label,
                    "name",
                    got,
                    f"at most {_LONGEST_NAME}",
                    "shorten the names of rows and columns",
                )
            first = folders.setdefault(run.settings.name, run.label)
            if first != run.label:
                got = f"the same folder as {first}"
                self.add(run.label, "name", got, "names that differ in letters or digits")
        columns: dict[str, Cell] = {}
        for cell in cells:
            first = columns.setdefault(cell.column, cell)
            if first.metric != cell.metric:
                got = f"{cell.metric} here and {first.metric} in {first.row}"
                name = f"{cell.row}, {cell.column}" if cell.column else cell.row
                self.add(name, "metric", got, "one metric in a column", "name one in metric")

    def check_chance(self, study: str, cells: Sequence[Cell]) -> None:
        """Add the columns whose chance level cannot be computed."""
        for column in dict.fromkeys(cell.column for cell in cells):
            if mistake := no_majority([cell for cell in cells if cell.column == column]):
                self.add_all(column or study, [mistake])


def _as_problem(one: object) -> Problem:
    """A mistake as an error holds it: itself a mistake, an error, or a line."""
    if isinstance(one, Problem):
        return one
    if isinstance(one, SoftpromptError):
        return Problem(one.where, one.got, one.expected, one.hint) if one.where else Problem(str(one))
    return Problem(str(one))


def _sections(key: str) -> Iterator[str]:
    """The key and every section that it lies in: `a.b.c`, `a.b` and `a`."""
    return accumulate(key.split("."), "{}.{}".format)
