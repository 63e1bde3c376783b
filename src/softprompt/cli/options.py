"""What several commands share: an option, and how their examples are shown."""

from collections.abc import Sequence
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting, e.g. decoding.strategy=greedy. May be repeated.",
    ),
]


def epilog(examples: Sequence[tuple[str, str]]) -> str:
    """The end of a help text: each example with what it is for."""
    return "\n\n".join(f"{what}: [bold]{command}[/bold]" for what, command in examples)
