"""softprompt report: tables and figures of a study, from its finished runs."""

from pathlib import Path
from typing import Annotated

import typer

from softprompt.cli.options import Overrides, recipe_or_named

EXAMPLES = (
    (
        "Example",
        "softprompt report recipes/studies/wnut17-depth.yaml --from docs/results/wnut17-depth.json"
        " --output runs/wnut17-depth/report",
    ),
    ("Of the run folders", "softprompt report runs/rte-length"),
    ("In another place", "softprompt report recipes/studies/rte-length.yaml --output figures"),
)


def report(
    study: Annotated[
        Path,
        typer.Argument(help="A study: its YAML file, its folder, or its study.json.", show_default=False),
    ],
    overrides: Overrides = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="TABLE",
            help="Take the runs from a results table (JSON, CSV or Parquet) and not from run folders.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the report; by default report/ in the study's own.", show_default=False
        ),
    ] = None,
) -> None:
    """Write a study's report again from its finished runs, without running any.

    One page that opens from disk, figures as SVG and PNG, tables in Markdown and LaTeX. What the study still
    lacks is named; the same numbers give the same bytes.
    """

    from softprompt.studies import command_line, compose_report, read_source, write_report
    from softprompt.terminal import Terminal, print_line

    console = Terminal()
    source = read_source(recipe_or_named(study), overrides or [], table)
    again = command_line("report", study, overrides=overrides or [], **{"from": table, "output": output})
    made = compose_report(source, again)
    folder = output if output is not None else source.result.grid.folder / "report"
    for path in write_report(made, folder):
        print_line(console, f"wrote {path}")
    for line in made.missing:
        print_line(console, f"missing: {line}")
