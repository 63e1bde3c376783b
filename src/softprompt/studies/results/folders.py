"""A study's folder: the folders of runs, and the errors of those that failed."""

from pathlib import Path

from softprompt.errors import Problem, TrainingError
from softprompt.files import json_text, write_atomically, writing
from softprompt.studies.definition.cells import Grid, Run
from softprompt.training import RunFolder
from softprompt.untrusted import read_json


def check_folders(grid: Grid) -> None:
    """Refuse folders that hold a run with other settings.

    Raises:
        TrainingError: with a line for each such folder.
    """
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
    """The file for the error of a run."""
    return grid.folder / "failed" / f"{run.settings.name}.json"


def write_failure(grid: Grid, run: Run, error: str, trace: str) -> None:
    """Keep the error and the traceback of a run."""
    path = failure_of(grid, run)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json_text({"error": error, "trace": trace}))


def read_failure(grid: Grid, run: Run) -> str | None:
    """The error of a run; None where none is kept."""
    path = failure_of(grid, run)
    if not path.exists():
        return None
    try:
        return str(read_json(path, 64 << 20)["error"])
    except (ValueError, KeyError, TypeError):
        return f"unknown, since {path.as_posix()} cannot be read"
