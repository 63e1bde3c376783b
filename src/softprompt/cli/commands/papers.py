"""softprompt papers: the papers' protocols as study files, listed, shown and run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softprompt.cli.options import Engine, Jobs, Overrides, RetryFailed, epilog
from softprompt.errors import counted

if TYPE_CHECKING:
    from softprompt.studies import Protocol

app = typer.Typer(help="Reproduce the tables and figures of the papers.", no_args_is_help=True)

LIST_EXAMPLES = (("Example", "softprompt papers list"),)
SHOW_EXAMPLES = (("Example", "softprompt papers show prefix-tuning"),)
RUN_EXAMPLES = (
    ("Example", "softprompt papers run prefix-tuning --scale small"),
    ("One study of it", "softprompt papers run prefix-tuning --scale small --only prefix-length"),
)

_Name = Annotated[
    str, typer.Argument(help="Name of a paper, see `softprompt papers list`.", show_default=False)
]


@app.command("list", epilog=epilog(LIST_EXAMPLES))
def list_() -> None:
    """Show the papers, and how many studies each has."""
    from rich.table import Table

    from softprompt.studies import all_papers
    from softprompt.terminal import Terminal

    table = Table("name", "paper", "source", "small", "full")
    for name, paper in all_papers().items():
        table.add_row(name, paper.title, paper.source, str(len(paper.small)), str(len(paper.full)))
    Terminal().print(table)


@app.command("show", epilog=epilog(SHOW_EXAMPLES))
def show(name: _Name) -> None:
    """Show a paper's studies at both scales, and the command of each."""
    from softprompt.studies import load_grid, paper
    from softprompt.terminal import echo

    found = paper(name)
    echo(f"{found.title} ({found.source})")
    for scale in ("small", "full"):
        echo(f"\n{scale}: softprompt papers run {name} --scale {scale}" if found.at(scale) else "")
        for one in found.at(scale):
            if one.study is None:
                n = len(one.runs)
            else:
                n = load_grid(one.file).n_runs
            echo(f"  {one.name}: {one.shows} ({counted(n, 'run')})\n    {one.file.as_posix()}")
    if found.lacking:
        echo(f"\nnot here: {found.lacking}")


@app.command("run", epilog=epilog(RUN_EXAMPLES))
def run(
    name: _Name,
    scale: Annotated[
        Literal["small", "full"],
        typer.Option(
            help="`small`: bundled backbones, small data; `full`: the paper's own.", show_default=False
        ),
    ],
    only: Annotated[
        str | None,
        typer.Option(
            help="Name of one study, see `softprompt papers show`; all if not given.", show_default=False
        ),
    ] = None,
    overrides: Overrides = None,
    jobs: Jobs = 1,
    engine: Engine = "local",
    retry_failed: RetryFailed = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the studies' folders.", show_default=False)
    ] = None,
) -> None:
    """Run a paper's studies one after another. After a stop, the same command continues."""
    from softprompt.cli.commands.study import study
    from softprompt.studies import chosen_protocols
    from softprompt.terminal import echo

    failed = False
    for one in chosen_protocols(name, scale, only):
        echo(f"== {one.name}: {one.shows}")
        if one.study is None:
            _train_and_compare(one, overrides or [], output or Path("runs"))
            continue
        try:
            study(one.file, overrides, jobs, engine, retry_failed, False, output)
        except typer.Exit as end:
            if end.exit_code != 1:
                raise
            failed = True  # some of its runs; the other studies are run all the same
    if failed:
        raise typer.Exit(1)


def _train_and_compare(protocol: "Protocol", overrides: list[str], output: Path) -> None:
    """Train every unfinished run, and compare all of them."""
    from softprompt.cli.commands.compare import compare
    from softprompt.cli.commands.train import train

    folder = output / protocol.name
    for name, changes in protocol.runs.items():
        here = folder / name
        if not (here / "result.json").exists():
            resume = (here / "settings.yaml").exists()
            train(protocol.file, [*changes, *overrides, f"name={name}"], resume, folder)
    compare([folder / name for name in protocol.runs], protocol.metric, None, folder / "compared.md")
