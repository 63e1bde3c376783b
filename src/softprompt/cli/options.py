"""What several commands share: options and arguments, and how their examples are shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting, e.g. decoding.strategy=greedy. May be repeated.",
    ),
]

PromptFolder = Annotated[
    Path, typer.Argument(help="A prompt folder, or the folder of a run.", show_default=False)
]

BackboneName = Annotated[
    str | None,
    typer.Option(help="Name or folder of the backbone, where it is not the card's.", show_default=False),
]

Jobs = Annotated[
    int, typer.Option(min=1, help="Runs at a time, each in a process with its share of the cores.")
]

Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where runs are run: this machine, or the workers of a Ray cluster."),
]

RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try runs again that failed before.")]


def epilog(examples: Sequence[tuple[str, str]]) -> str:
    """The end of a help text: each example with what it is for."""
    return "\n\n".join(f"{what}: [bold]{command}[/bold]" for what, command in examples)
