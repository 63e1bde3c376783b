"""The chance level: the scores of always answering with the most frequent label."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from softprompt.config import ClassificationSettings, RunSettings
from softprompt.data import FORMATS, LabelledText, load_test
from softprompt.errors import DataError, Problem, SoftpromptError, counted
from softprompt.metrics import metrics_of, score
from softprompt.studies.definition.cells import Cell, Grid

_TASK = ClassificationSettings().name
"""The task whose metrics score the most frequent label."""

_OF_TEST = ("format", "test", "test_size", "test_share", "text", "second", "label")
"""The data settings that decide the test records of labelled texts."""


def no_majority(cells: Sequence[Cell]) -> Problem | None:
    """Why the chance level of a column cannot be computed; None if it can be.

    Args:
        cells: of the column.
    """
    first = _settings(cells[0])
    data = first.data
    if FORMATS[data.format].record is not LabelledText:
        got, do = f"true for {data.format}, whose records have no label", "as chance: {column: number}"
        return Problem("chance", got, "texts with labels", f"give the number yourself, {do}")
    if (data.test is None and not data.test_share) or data.test_size == 0:
        expected = "test records whose labels can be counted"
        return Problem("chance", "true without data.test", expected, "give data.test")
    known = metrics_of(_TASK)
    for metric in cells[0].metrics:
        if metric not in known:
            expected = f"a column of {' or '.join(known)}"
            return Problem("chance", f"true for {metric}", expected, "give its number yourself")
    for cell in cells[1:]:
        other = _settings(cell).data
        for name in (*_OF_TEST, *["train"] * bool(data.test_share)):
            if getattr(other, name) != getattr(data, name):
                got = f"true, though {cell.row} has another data.{name} than {cells[0].row}"
                return Problem("chance", got, "one test set in a column", "give its number yourself")
    return None


def majority(cell: Cell) -> dict[str, float]:
    """The scores of always answering with the most frequent label of the test records.

    Of equally frequent labels the first in the alphabet counts. A system that knows the distribution of the
    test set, and nothing of its texts, reaches these scores.

    Args:
        cell: any cell of the column.

    Returns:
        Per cent, by each metric that the cell shows.

    Raises:
        DataError: the test file is missing or malformed, or a record has no label.
        ConfigError: a metric that is not defined for these labels, e.g. `f1` for three.
    """
    settings = _settings(cell)
    records = load_test(settings.data)
    right = [target for record in records for target in record.targets]
    if len(right) < len(records):
        n = len(records) - len(right)
        raise DataError(
            str(settings.data.test), f"{counted(n, 'record')} without a label", "a label in every record"
        )
    counts = Counter(right)
    most = min(counts, key=lambda label: (-counts[label], label))
    groups = [record.tags.get("question", "") for record in records]
    facts = {"labels": _labels(settings, counts), "groups": groups if all(groups) else None}
    return score(cell.metrics, [most] * len(right), right, task=_TASK, **facts).values


def levels(grid: Grid) -> tuple[dict[str, Mapping[str, float]], dict[str, str]]:
    """The chance levels of the columns, and why some are not known."""
    chance = grid.settings.chance
    first = {column: next(c for c in grid.cells if c.column == column) for column in grid.columns}
    if chance is False:
        return {}, {}
    if chance is True:
        known, missing = {}, {}
        for column, cell in first.items():
            try:
                known[column] = majority(cell)
            except SoftpromptError as error:  # a report can be made without the data
                missing[column] = str(error)
        return known, missing
    if isinstance(chance, dict):
        return {column: {first[column].metric: value} for column, value in chance.items()}, {}
    return {column: {cell.metric: chance} for column, cell in first.items()}, {}


def _labels(settings: RunSettings, seen: Iterable[str]) -> list[str]:
    """The labels in the task's order, which decides which of two is the positive one."""
    task = settings.task
    named = getattr(task, "labels", None) or getattr(task, "verbalizer", None)
    # "null" draws a word for each label and names none.
    own = list(named) if named and named != "null" else []
    return own or list(FORMATS[settings.data.format].labels or sorted(seen))


def _settings(cell: Cell) -> RunSettings:
    return next(cell.possible).settings
