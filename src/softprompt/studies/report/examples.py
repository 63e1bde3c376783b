"""Outputs of the rows of a study side by side: texts, or the answers on which rows differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.errors import TrainingError, counted
from softprompt.files import damaged, read_lines
from softprompt.studies.results.study_result import CellResult, RunResult, StudyResult
from softprompt.tasks import TASKS, answer_of
from softprompt.training import RunFolder

_N_TEXTS = 6
_N_ANSWERS = 10
_LONGEST = 700
"""The number of letters of a source that are shown."""


@dataclass(frozen=True)
class Output:
    """The output of one row.

    Args:
        right: whether the text is a reference; None for free text, or without references.
    """

    row: str
    text: str
    right: bool | None


@dataclass(frozen=True)
class _Line:
    """The output of a run for one record.

    Args:
        judged: whether the text can be compared with the references.
    """

    source: str
    references: tuple[str, ...]
    text: str
    judged: bool


@dataclass(frozen=True)
class Example:
    """One test record with the output of every row."""

    id: str
    source: str
    references: tuple[str, ...]
    outputs: tuple[Output, ...]

    @property
    def answers(self) -> list[tuple[str, bool | None, list[str]]]:
        """Each answer, whether it is right, and the rows that gave it; right answers first.

        A right answer that no row gave is included, without rows.
        """
        given: dict[str, list[Output]] = {}
        for one in sorted(self.outputs, key=lambda one: not one.right):
            given.setdefault(one.text, []).append(one)
        missed = [] if any(text in given for text in self.references) else self.references[:1]
        answers = [(text, some[0].right, [one.row for one in some]) for text, some in given.items()]
        return [*((text, True, []) for text in missed), *answers]


@dataclass(frozen=True)
class Examples:
    """Examples of one column.

    Args:
        what: how the examples were chosen.
        answers: whether the outputs are answers, which several rows can share, and not free texts.
        lacking: rows without outputs, and lines of outputs that cannot be read.
    """

    column: str
    what: str
    answers: bool
    examples: tuple[Example, ...]
    lacking: tuple[str, ...]


def examples(result: StudyResult) -> tuple[Examples, ...]:
    """For each column records for which every row has outputs; columns without such records are left out."""
    columns = [_of_column(column, result.column(column)) for column in result.grid.columns]
    return tuple(one for one in columns if one is not None)


def _of_column(column: str, cells: Sequence[CellResult]) -> Examples | None:
    compared = {TASKS[_task(cell)].outputs.compared for cell in cells}
    if "nothing" in compared:
        return None
    lacking: list[str] = []
    outputs: dict[str, dict[str, _Line]] = {}
    runs = _one_seed(cells)
    for cell, run in runs:
        row = cell.cell.row
        if run is None:
            lacking.append(f"{row}: no run is done")
            continue
        found, why = _read(run, _task(cell))
        if found:
            outputs[row] = found
        if why:
            lacking.append(f"{row}: {why}")
    if not outputs:
        return None
    shared = [key for key in next(iter(outputs.values())) if all(key in lines for lines in outputs.values())]
    seeds = list(dict.fromkeys(run.run.seed for _, run in runs if run is not None))
    seed = f"seed {seeds[0]}" if len(seeds) == 1 else "the first run of each that is done"
    answers = "texts" not in compared
    if not answers:
        chosen = _spread(shared, _N_TEXTS)
        what = f"{len(chosen)} of {counted(len(shared), 'test record')}, evenly spread"
    else:
        differing = [key for key in shared if len({lines[key].text for lines in outputs.values()}) > 1]
        chosen = _spread(differing, _N_ANSWERS)
        what = f"The rows differ on {len(differing)} of {counted(len(shared), 'test record')}"
        what += f", {len(chosen)} of them evenly spread" if differing else ""
    found = tuple(_example(key, outputs, answers) for key in chosen)
    return Examples(column, f"{what}; {seed}", answers, found, tuple(lacking))


def _one_seed(cells: Sequence[CellResult]) -> list[tuple[CellResult, RunResult | None]]:
    """A run for each cell: of the first seed that is done in all cells, else the first done of each."""
    done = [{run.run.seed: run for run in cell.runs if run.state == "done"} for cell in cells]
    with_any = [runs for runs in done if runs]
    shared = [seed for seed in next(iter(with_any), {}) if all(seed in runs for runs in with_any)]
    chosen: list[tuple[CellResult, RunResult | None]] = []
    for cell, runs in zip(cells, done, strict=True):
        chosen.append((cell, runs[shared[0]] if runs and shared else next(iter(runs.values()), None)))
    return chosen


def _read(run: RunResult, task: str) -> tuple[dict[str, _Line], str]:
    """The outputs of a run by the record's id, and what is missing."""
    if run.stored:
        return {}, "a results table keeps no outputs"
    path = RunFolder(run.run.settings.folder).outputs
    if not path.is_file():
        return {}, f"no {path.name} in its folder"

    outputs: dict[str, _Line] = {}

    def take(line: Mapping[str, Any]) -> bool:
        try:
            outputs.setdefault(str(line["id"]), _output(task, line))
        except (KeyError, TypeError, ValueError):
            return False
        return True

    try:
        lines = read_lines(path, take)
    except TrainingError as error:
        return {}, str(error)
    if not lines:
        return outputs, "no test records"
    which = damaged(lines, written_whole=True)
    return outputs, f"{which} of its {path.name}, which cannot be read" if which else ""


def _output(task: str, line: Mapping[str, Any]) -> _Line:
    references = tuple(str(text) for text in line.get("references", ()))
    known = type(line["output"]) is not int or "choices" in line
    return _Line(str(line["source"]), references, answer_of(task, line), known)


def _example(key: str, outputs: Mapping[str, Mapping[str, _Line]], judged: bool) -> Example:
    first = next(iter(outputs.values()))[key]
    rows = []
    for row, lines in outputs.items():
        line = lines[key]
        right = line.text in first.references if judged and line.judged and first.references else None
        rows.append(Output(row, line.text, right))
    source = first.source
    if len(source) > _LONGEST:
        source = f"{source[:_LONGEST].rstrip()} …"
    return Example(key, source, first.references, tuple(rows))


def _spread(keys: Sequence[str], n: int) -> list[str]:
    """`n` of the keys, evenly spread."""
    return list(keys) if len(keys) <= n else [keys[i * len(keys) // n] for i in range(n)]


def _task(cell: CellResult) -> str:
    return next(cell.cell.possible).settings.task.name
