"""softprompt compare: compare runs over the same tasks, with paired tests."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    (
        "Example, after two runs of recipes/trex-p-tuning.yaml under different names",
        "softprompt compare runs/trex-manual runs/trex-p-tuning --metric p_at_1",
    ),
)


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of runs over several tasks.", show_default=False)
    ],
    metric: Annotated[
        str | None,
        typer.Option(
            help="Paired by this one; if not given, the first of the runs. `development`: what their best "
            "steps were picked by.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Name of a run in the tables; once for each, in order.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="A file NAME.md, and NAME.json beside it.", show_default=False)
    ] = None,
) -> None:
    """Print means over the tasks, paired comparisons of runs task by task, and every task."""
    from rich.table import Table

    from softprompt.errors import ConfigError, counted
    from softprompt.files import write_atomically, writing
    from softprompt.studies import (
        DEVELOPMENT,
        check_alike,
        command_line,
        comparison_json,
        comparison_markdown,
        means_table,
        pairs_table,
        read_compared_run,
    )
    from softprompt.terminal import Terminal, print_line

    if len(runs) < 2:
        raise ConfigError("compare", counted(len(runs), "run"), "at least 2 runs")
    names = name or [None] * len(runs)
    if len(names) != len(runs):
        raise ConfigError(
            "--name",
            f"{counted(len(names), 'name')} for {counted(len(runs), 'run')}",
            "one name for each run, or none at all",
        )
    found = [read_compared_run(folder, called) for folder, called in zip(runs, names, strict=True)]
    if len({run.name for run in found}) < len(found):
        raise ConfigError(
            "compare", "two runs of the same name", "names that differ", "give --name for each run"
        )
    check_alike(found)
    # Runs without test sets still have what they were picked by.
    chosen = metric or next(iter(found[0].metrics), DEVELOPMENT)
    console = Terminal()
    for rows in (means_table(found), pairs_table(found, chosen)):
        head, *lines = rows
        table = Table()
        for i, column in enumerate(head):
            table.add_column(column, justify="left" if i == 0 else "right")
        for line in lines:
            table.add_row(*line)
        console.print(table)
    if output is None:
        return
    # Without --output, so that the file is the same for every place.
    again = command_line("compare", *runs, metric=chosen, name=name)
    with writing(output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, comparison_markdown(found, chosen, again))
        write_atomically(output.with_suffix(".json"), comparison_json(found))
    print_line(console, f"kept in {output}")
