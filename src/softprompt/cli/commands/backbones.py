"""softprompt backbones: the bundled frozen models."""

import sys
from typing import Annotated

import typer

from softprompt.cli.options import epilog

app = typer.Typer(help="List and fetch the bundled backbones.", no_args_is_help=True)

LIST_EXAMPLES = (("Example", "softprompt backbones list"),)
PULL_EXAMPLES = (
    ("Example", "softprompt backbones pull smollm2-135m"),
    ("With terms to agree to", "softprompt backbones pull gemma3-270m"),
)


@app.command("list", epilog=epilog(LIST_EXAMPLES))
def list_() -> None:
    """Show the bundled backbones, and which of them are on this machine."""
    from rich.table import Table

    from softprompt.backbones import BUNDLED, bundled_folder
    from softprompt.terminal import Terminal, print_line

    table = Table("name", "kind", "parameters", "download", "licence", "here")
    for entry in BUNDLED.values():
        place = bundled_folder(entry.name)
        table.add_row(
            entry.name,
            entry.kind,
            f"{entry.n_parameters / 1e6:.1f} M",
            f"{entry.wheel_bytes / 1e6:.0f} MB",
            entry.licence,
            "yes" if place else "no",
        )
    console = Terminal()
    console.print(table)
    for entry in BUNDLED.values():
        place = bundled_folder(entry.name)
        if place is not None:
            print_line(console, f"{entry.name}: {place}")


@app.command("pull", epilog=epilog(PULL_EXAMPLES))
def pull_(
    name: Annotated[str, typer.Argument(help="Name of a bundled backbone, or `all`.", show_default=False)],
    agree: Annotated[
        bool,
        typer.Option("--agree", help="Agree to the terms that a model has, which are shown in any case."),
    ] = False,
) -> None:
    """Fetch a bundled backbone into the cache folder (the environment variable SOFTPROMPT_HOME)."""
    from softprompt.backbones import BUNDLED, BUNDLED_NAMES, agreed_before, pull_bundled
    from softprompt.terminal import echo

    for wanted in BUNDLED_NAMES if name == "all" else (name,):

        def answer(terms: str, wanted: str = wanted) -> bool:
            echo(f"{wanted}: its makers ask for your agreement to these terms.\n\n{terms}\n", err=True)
            if agree or agreed_before(BUNDLED[wanted]):
                return True
            return sys.stdin.isatty() and typer.confirm("Do you agree to these terms?", err=True)

        place = pull_bundled(
            wanted,
            progress=lambda message, wanted=wanted: echo(f"{wanted}: {message}", err=True),
            agree=answer,
        )
        echo(f"{wanted}: {place}")
