"""softprompt study: many runs from one file, and one report on them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softprompt.cli.options import Engine, Jobs, Overrides, RetryFailed, recipe_or_named
from softprompt.errors import counted

if TYPE_CHECKING:
    from rich.console import Console

    from softprompt.studies import StudyResult

EXAMPLES = (
    ("Example", "softprompt study recipes/studies/rte-length.yaml"),
    (
        "A first try",
        'softprompt study recipes/studies/rte-length.yaml --set name=try --set "seeds=[0]"'
        " --set training.epochs=1 --set data.test_size=20",
    ),
    ("A report on the finished runs alone", "softprompt study recipes/studies/rte-length.yaml --report-only"),
)


def study(
    file: Annotated[Path, typer.Argument(help="YAML file of the study.", show_default=False)],
    overrides: Overrides = None,
    jobs: Jobs = 1,
    engine: Engine = "local",
    retry_failed: RetryFailed = False,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Run nothing; report on the finished runs.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the study's folder.", show_default=False)
    ] = None,
) -> None:
    """Run the missing runs of a study, and write its report: a table, its numbers, and a plot.

    Stop it at any time; the same command goes on. Runs that failed are left out until --retry-failed.
    """
    from softprompt.errors import TrainingError
    from softprompt.studies import (
        check_runs,
        command_line,
        load_grid,
        read_results,
        run_study,
        write_numbers,
        write_summary,
    )
    from softprompt.terminal import Terminal, echo, print_line

    console = Terminal()
    grid = load_grid(recipe_or_named(file), overrides or [], output)
    if report_only and not grid.folder.is_dir():
        raise TrainingError(
            str(grid.folder), "no such folder", "the folder of a study that was run", "run the study first"
        )
    again = command_line(
        "study",
        file,
        overrides=overrides or [],
        jobs=jobs if jobs > 1 else None,
        engine=engine if engine != "local" else None,
        output=output,
    )
    interrupted = False
    if not report_only:
        check_runs(grid, retry_failed)
        # From here on the folder says what study it is, also where a kill leaves no report.
        write_numbers(read_results(grid), again)
        try:
            run_study(grid, jobs, console, engine, retry_failed)
        except KeyboardInterrupt:
            interrupted = True
    result = read_results(grid)
    folder = write_summary(result, again)
    _print(console, result)
    print_line(console, f"study folder: {folder}")
    if interrupted:
        echo(f"\ninterrupted; go on with: {again}", err=True)
        raise typer.Exit(130)
    if result.failed and not report_only:
        retry = f"{again} --retry-failed"
        message = (
            f"{len(result.failed)} of {counted(grid.n_runs, 'run')} failed; try them again with: {retry}"
        )
        echo(message, err=True)
        raise typer.Exit(1)


def _print(console: "Console", result: "StudyResult") -> None:
    from rich.table import Table
    from rich.text import Text

    from softprompt.studies import results_table
    from softprompt.terminal import print_line

    head, *lines = results_table(result, short=True).texts(bold="{}*", between="\n")
    caption = "* best of its column" if _stars(lines) else None
    shown = Table(title=Text(result.grid.settings.name), caption=caption)
    for i, name in enumerate(head):
        shown.add_column(Text(name), justify="right" if i else "left")
    for line in lines:
        shown.add_row(*(Text(cell, style="bold" if cell.endswith("*") else "") for cell in line))
    console.print(shown)
    for run in result.failed:
        print_line(console, f"failed: {run.run.label}: {run.error}")


def _stars(lines: list[list[str]]) -> bool:
    return any(cell.endswith("*") for line in lines for cell in line)
