"""The content of a report, before it is written in any format."""

from collections.abc import Mapping
from dataclasses import dataclass

from softprompt.errors import counted
from softprompt.files import without_folders
from softprompt.plotting import Figure
from softprompt.studies.comparisons.statistics import ALPHA
from softprompt.studies.definition.measures import label
from softprompt.studies.figures import draw_curve, draw_figures
from softprompt.studies.report.examples import Examples, examples
from softprompt.studies.report.runs import cell_name
from softprompt.studies.report.source import Source
from softprompt.studies.report.tables import Table, comparison_tables, results_table
from softprompt.studies.results.study_result import CellResult, StudyResult
from softprompt.training import clock

_MOST_NAMES = 5


@dataclass(frozen=True)
class Report:
    """A report.

    Args:
        study_command: the command line that makes the study.
        tables: the results, and the comparisons that the study asks for.
        notes: facts that are needed to repeat the study.
        figures: by name, those that could be drawn.
        command: the command line that makes this report; a short report has none, and no later field.
        missing: a line for each cell with runs that are not done, and for each figure that was not drawn.
        examples: outputs of the rows, if the run folders keep them.
    """

    result: StudyResult
    study_command: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    figures: Mapping[str, Figure]
    command: str | None = None
    missing: tuple[str, ...] = ()
    examples: tuple[Examples, ...] = ()

    @property
    def title(self) -> str:
        """The study's name."""
        return self.result.grid.settings.name


def compose_report(source: Source, command: str) -> Report:
    """Make the report of the results so far.

    Args:
        command: the command line that makes the report.
    """
    result = source.result
    lacking = list(missing_runs(result))
    if source.unasked:
        names, more = ", ".join(source.unasked[:_MOST_NAMES]), len(source.unasked) - _MOST_NAMES
        names += f" and {more} more" if more > 0 else ""
        lacking.append(
            f"The results table has runs that the study does not ask for, and they are left out: {names}"
        )
    drawn, undrawn = draw_figures(result)
    tables = (results_table(result), *comparison_tables(result))
    texts = (source.command, notes(result), command, (*lacking, *undrawn))
    study_command, told, own_command, missing = without_folders(texts)
    return Report(result, study_command, tables, told, drawn, own_command, missing, examples(result))


def summarize(result: StudyResult, command: str) -> Report:
    """The short report for the study's own folder: the tables, and the curve along an axis.

    Args:
        command: the command line that makes the study.
    """
    curve = draw_curve(result)
    tables = (results_table(result, short=True), *comparison_tables(result))
    made_by, told = without_folders((command, notes(result)))
    return Report(result, made_by, tables, told, {} if curve is None else {"curve": curve})


def missing_runs(result: StudyResult) -> tuple[str, ...]:
    """A line for each cell with runs that are not done: their seeds and errors."""
    return tuple(f"{cell_name(result, cell)}: {gap}" for cell in result.all_cells if (gap := _gap(cell)))


def _gap(cell: CellResult) -> str:
    if cell.runs:
        lacking = [run for run in cell.runs if run.state != "done"]
        return "; ".join(
            f"seed {run.run.seed} {run.state}" + (f": {one_line(run.error)}" if run.error else "")
            for run in lacking
        )
    folds = [run for option in cell.folds for run in option if run.state != "done"]
    failed = [f"; {run.run.label} failed: {one_line(run.error)}" for run in folds if run.state == "failed"]
    return f"nothing chosen yet, {counted(len(folds), 'run')} on folds are missing{''.join(failed)}"


def one_line(text: str) -> str:
    """The text on one line, with one space for any space between words."""
    return " ".join(text.split())


def notes(result: StudyResult) -> tuple[str, ...]:
    """The facts that are needed to repeat the study and to understand its tables."""
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
    if len(done) < grid.n_runs:
        notes.append(f"Runs: {len(done)} of {grid.n_runs} are done")
    if done:
        seconds = sum(run.facts["seconds"]["training"] for run in done)
        notes.append(f"Training time of all runs together: {clock(seconds)}")
        hardware = dict.fromkeys(run.facts["hardware"] for run in done)
        versions = dict.fromkeys(
            ", ".join(f"{name} {version}" for name, version in run.facts["versions"].items()) for run in done
        )
        for name, values in (("Hardware", hardware), ("Versions", versions)):
            if known := list(filter(None, values)):
                notes.append(f"{name}: {'; '.join(known)}")
    return tuple(notes)


def _notes_of_choices(result: StudyResult) -> list[str]:
    """How candidates were chosen, how wins are counted, and what chance levels are."""
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
    """The rows that train tensors of the backbone, and which tensors."""
    tuned: dict[str, dict[str, None]] = {}
    for cell in result.all_cells:
        for run in cell.cell.possible:
            tune = getattr(run.settings.method, "tune", None)
            if tune not in (None, "none"):
                tuned.setdefault(cell.cell.row, {})[tune] = None
    return {row: ", ".join(several) for row, several in tuned.items()}
