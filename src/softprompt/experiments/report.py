"""A study's report: `study.json`, `.csv`, `.parquet`, `.md` and, along an axis, `study.png`."""

import json
from collections.abc import Sequence
from pathlib import Path

from softprompt.experiments import comparisons
from softprompt.experiments.exports import as_json
from softprompt.experiments.measures import label
from softprompt.experiments.numbers import mean_and_std
from softprompt.experiments.plot import draw_study
from softprompt.experiments.results import CellResult, RunResult, StudyResult
from softprompt.experiments.statistics import ALPHA
from softprompt.experiments.table import write_table
from softprompt.training import clock, write_atomically, writing

Table = list[list[str]]


def write_report(result: StudyResult, command: str) -> Path:
    """Write the report into the study's folder.

    Args:
        command: the command line that makes this study.

    Returns:
        The folder.
    """
    folder = result.grid.folder
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        picture = draw_study(result, folder / "study.png")
        if not picture:
            (folder / "study.png").unlink(missing_ok=True)
        write_numbers(result, command)
        write_table(result)
        write_atomically(folder / "study.md", as_markdown(result, command, "study.png" if picture else ""))
    return folder


def write_numbers(result: StudyResult, command: str) -> None:
    """Write `study.json` alone, with what is there so far."""
    folder = result.grid.folder
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "study.json", json.dumps(as_json(result, command), indent=1) + "\n")


def table(result: StudyResult, bold: str = "**{}**", several_lines: bool = False) -> Table:
    """The study as people read it: a head, a line per row, one per reference, and one for chance.

    Args:
        bold: how the best of a column is shown.
        several_lines: whether a head may say on a second line which metric it has.
    """
    grid = result.grid
    heads = [_head(result, column, "\n" if several_lines else " ") for column in grid.columns]
    wins = comparisons.n_wins(result) if grid.settings.wins else None
    more = [] if wins is None else ["# wins"]
    lines = [[grid.axis, *heads, *more, "trained parameters", "stored parameters"]]
    for row in grid.rows:
        cells = [result.at(row, column) for column in grid.columns]
        shown = [
            bold.format(shown_cell(cell)) if result.is_best(cell) else shown_cell(cell) for cell in cells
        ]
        lines.append([row, *shown, *([] if wins is None else [str(wins[row])]), *_counts(cells)])
    for cell in result.references:
        blank = [""] * (len(grid.columns) - 1 + len(more))
        lines.append([f"{cell.cell.row} (reference)", shown_cell(cell), *blank, *_counts([cell])])
    if grid.settings.chance is not False:
        name = "chance (majority class)" if grid.settings.chance is True else "chance"
        shown = [_shown_chance(result, column) for column in grid.columns]
        lines.append([name, *shown, *("" for _ in more), "0", "0"])
    return lines


def shown_cell(cell: CellResult) -> str:
    """`71.23 ± 1.20 / 60.00 ± 0.50 [lr 1e-4]`: its metrics, and the candidate that it chose.

    With what is missing; or what became of it where there is no value.
    """
    of = f" [{cell.cell.chosen}]" if cell.cell.chosen else ""
    if cell.mean is None:
        choosing = " (choosing)" if not cell.runs and cell.state != "not run" else ""
        return f"{cell.state}{choosing}{of}"
    shown = " / ".join(mean_and_std(cell.values_of(metric), metric) for metric in cell.cell.metrics) + of
    if cell.complete:
        return shown
    return f"{shown} ({len(cell.values)} of {len(cell.runs)}, {cell.state})"


def _shown_chance(result: StudyResult, column: str) -> str:
    level = result.chance.get(column)
    if level is None:
        return "-" if column in result.no_chance else ""
    metrics = result.column(column)[0].cell.metrics
    return " / ".join(f"{level[metric]:.2f}" for metric in metrics if metric in level)


def as_markdown(result: StudyResult, command: str, picture: str = "") -> str:
    """The table, and under it what is needed to make it again.

    Args:
        picture: file of the plot, beside this one; empty for none.
    """
    settings = result.grid.settings
    parts = [f"# {settings.name}\n", _markdown(table(result))]
    if settings.wins:
        parts.append(
            "\nMean of row minus mean of rival, averaged over the columns (more is better for the row), and "
            "in brackets in how many of them the row is significantly better over the seeds:\n"
        )
        parts.append(_markdown(comparisons.wins_table(result)))
    if settings.paired:
        parts.append("\nPaired over the columns' means (one-sided):\n")
        parts.append(_markdown(comparisons.paired_table(result)))
    if picture:
        parts.append(f"\n![{result.grid.settings.name}]({picture})")
    parts.append("")
    counted = max((cell.cell.n_runs for cell in result.all_cells), default=0)
    values = "mean ± sample standard deviation over the seeds" if counted > 1 else "one run each"
    reading = f"Test scores, {values}; the best complete cell of a column is bold"
    parts += [f"- {line}" for line in (f"Command: `{command}`", reading, *notes(result))]
    if result.failed:
        parts.append("\nFailed:\n")
        parts += [f"- {run.run.label}: {' '.join(run.error.split())}" for run in result.failed]
    return "\n".join(parts) + "\n"


def _markdown(lines: Table) -> str:
    head, *lines = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    ruled = (head, ["---"] + ["---:"] * (len(head) - 1), *lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def notes(result: StudyResult) -> list[str]:
    """What is needed to make the study again, and to know what it says."""
    grid, done = result.grid, [run for run in result.runs if run.state == "done"]
    notes = _notes_of_choices(result)
    tuned = _tuned(result)
    if tuned:
        notes.append(
            f"The backbone is not frozen in: {', '.join(f'{row} ({what})' for row, what in tuned.items())}"
        )
    bases = dict.fromkeys(cell.cell.base for cell in result.all_cells)
    notes.append(f"Recipes: {', '.join(f'`{base}`' for base in bases)}")
    if grid.settings.set:
        notes.append("For all: " + ", ".join(f"`{key}={value}`" for key, value in grid.settings.set.items()))
    possible = (run for cell in result.all_cells for run in cell.cell.possible)
    seeds = dict.fromkeys(str(run.seed) for run in possible)
    notes.append(f"Seeds: {', '.join(seeds)} ({', '.join(grid.settings.seed_keys)})")
    if grid.settings.subsamples is not None:
        notes.append(f"Subsamples: {', '.join(map(str, grid.settings.subsamples))}, each with every seed")
    if len(done) < result.n_runs:
        notes.append(f"Runs: {len(done)} of {result.n_runs} are done")
    if done:
        seconds = sum(run.facts["seconds"]["training"] for run in done)
        notes.append(f"Training time of all runs together: {clock(seconds)}")
        for name, found in (
            ("Hardware", dict.fromkeys(run.facts["hardware"] for run in done)),
            ("Versions", dict.fromkeys(map(_versions, done))),
        ):
            if known := [one for one in found if one]:
                notes.append(f"{name}: {'; '.join(known)}")
    return notes


def _notes_of_choices(result: StudyResult) -> list[str]:
    """How candidates were chosen, what counts as a win, and what chance is."""
    settings, notes = result.grid.settings, []
    if (choose := settings.choose) is not None:
        by = ", ".join(dict.fromkeys(label(cell.cell.by) for cell in result.all_cells if cell.cell.by))
        notes.append(
            f"In brackets what each cell chose by {choose.folds}-fold cross-validation on its training and "
            f"development records: the best mean {by} of the {choose.score} evaluation, seed {choose.seed}"
            if choose.folds
            else f"In brackets what each cell chose by its development records: the best {by} of the "
            f"{choose.score} evaluation, seed {choose.seed}"
        )
    if settings.wins:
        notes.append(
            f"# wins: columns in which a row significantly beats as many rivals as any row does (one-sided "
            f"Welch tests over the seeds, p < {ALPHA}; ties all count, no incomplete cell takes part)"
        )
    if settings.chance is True:
        notes.append("Chance: always the most frequent label of the test records")
    notes += [
        f"No chance level for {column or 'the rows'}: {why}" for column, why in result.no_chance.items()
    ]
    return notes


def _tuned(result: StudyResult) -> dict[str, str]:
    """The rows that train tensors of the backbone itself, and which: never to be taken for frozen ones."""
    found: dict[str, list[str]] = {}
    for cell in result.all_cells:
        for run in cell.cell.possible:
            tune = getattr(run.settings.method, "tune", None)
            if tune not in (None, "none", *found.get(cell.cell.row, [])):
                found.setdefault(cell.cell.row, []).append(tune)
    return {row: ", ".join(several) for row, several in found.items()}


def _versions(run: RunResult) -> str:
    return ", ".join(f"{name} {version}" for name, version in run.facts["versions"].items())


def _head(result: StudyResult, column: str, between: str) -> str:
    """A column's name and its metric, e.g. `RTE accuracy`."""
    metrics = next(cell.cell.metrics for cell in result.column(column))
    labels = " / ".join(map(label, metrics))
    return f"{column}{between}{labels}" if column else labels


def _counts(cells: Sequence[CellResult]) -> list[str]:
    shown = []
    for name in ("trained_parameters", "stored_parameters"):
        found = sorted({n for cell in cells for n in cell.count(name)})
        ends = dict.fromkeys((found[0], found[-1])) if found else ()
        shown.append("–".join(f"{n:,}" for n in ends) or "-")
    return shown
