"""What lies in a study's folder beside its report: runs, errors of failed ones, and locks."""

import json
from pathlib import Path

from softprompt.errors import Problem, TrainingError
from softprompt.files import write_atomically, writing
from softprompt.studies.definition.cells import Grid, Run
from softprompt.training import RunFolder
from softprompt.untrusted import read_json


def check_folders(grid: Grid) -> None:
    """Raises TrainingError, a line for each run whose folder holds a run with other settings."""
    mistakes = []
    for run in (*grid.folds, *(run for cell in grid.all_cells for run in cell.possible)):
        folder = RunFolder(run.settings.folder)
        if folder.path.exists():
            try:
                folder.check(run.settings, resume=folder.settings.is_file())
            except TrainingError as error:
                hint = f"{error.hint}, or remove that folder" if error.hint else "remove that folder"
                mistakes.append(Problem(f"{run.label}: {error.where}", error.got, error.expected, hint))
    if mistakes:
        raise TrainingError.several(mistakes)


def failure_of(grid: Grid, run: Run) -> Path:
    """Where the error of a run that failed is kept."""
    return grid.folder / "failed" / f"{run.settings.name}.json"


def write_failure(grid: Grid, run: Run, error: str, trace: str) -> None:
    """Keep the error of a run for tables, and its traceback for a reader who looks for the cause."""
    path = failure_of(grid, run)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"error": error, "trace": trace}, indent=1)
        write_atomically(path, text + "\n")


def read_failure(grid: Grid, run: Run) -> str | None:
    """The error of a run that failed; None where none is kept."""
    path = failure_of(grid, run)
    if not path.exists():
        return None
    try:
        return str(read_json(path, 64 << 20)["error"])
    except (ValueError, KeyError, TypeError):
        return f"{path.as_posix()} cannot be read, so nobody knows why"
