"""What a study still lacks, named run by run."""

from softprompt.experiments.results import CellResult, StudyResult


def gaps(result: StudyResult) -> tuple[str, ...]:
    """A line for each cell with runs that are not done: which, and why where it is known."""
    return tuple(line for cell in result.all_cells if (line := _gap(result, cell)))


def _gap(result: StudyResult, cell: CellResult) -> str:
    name = ", ".join(filter(None, (cell.cell.row, cell.cell.column)))
    if cell in result.references:
        name += " (reference)"
    folds = [run for option in cell.folds for run in option if run.state != "done"]
    if not cell.runs:
        failed = [f"{run.run.label} failed: {_line(run.error)}" for run in folds if run.state == "failed"]
        return f"{name}: nothing chosen yet, {len(folds)} runs on folds are missing" + _more(failed)
    lacking = [
        f"seed {run.run.seed} {run.state}" + (f": {_line(run.error)}" if run.error else "")
        for run in cell.runs
        if run.state != "done"
    ]
    return f"{name}: {'; '.join(lacking)}" if lacking else ""


def _more(lines: list[str]) -> str:
    return "".join(f"; {line}" for line in lines)


def _line(text: str) -> str:
    return " ".join(text.split())
