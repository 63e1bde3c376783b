"""Options and arguments of several commands, and the form of their examples."""

from collections.abc import Iterable, Sequence
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
    typer.Option(
        help="Name or folder of the backbone; that of the prompt's card if not given.", show_default=False
    ),
]

Jobs = Annotated[
    int,
    typer.Option(
        min=1, help="Runs at a time, each in a process of its own with an equal share of the cores."
    ),
]

Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Where runs are trained: on this machine, or by the workers of a Ray cluster."),
]

RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Repeat runs that failed before.")]


def epilog(examples: Sequence[tuple[str, str]]) -> str:
    """The end of a help text: each example after its purpose."""
    return "\n\n".join(f"{what}: [bold]{command}[/bold]" for what, command in examples)


def recipe_or_named(path: Path) -> Path:
    """A recipe's or study's file; one that comes with softprompt where there is no such file, said in a line.

    Raises:
        ConfigError: neither a file nor the name of a recipe.
    """
    from softprompt.config import found_recipe, recipe_folder
    from softprompt.terminal import echo

    found = found_recipe(path)
    if found != path:
        echo(f"{path} is not here; used is the one that comes with softprompt: {found}", err=True)
        name = found.relative_to(recipe_folder()).with_suffix("").as_posix()
        echo(f"a copy to change: softprompt recipes copy {name}", err=True)
    return found


def check_characters(option: str, texts: Iterable[str]) -> None:
    """Refuse arguments of bytes that are no UTF-8, which Python reads as halves of surrogate pairs.

    Args:
        option: the argument's name, for the error.
        texts: its values.

    Raises:
        ConfigError: one of them holds such a byte.
    """
    from softprompt.errors import ConfigError
    from softprompt.untrusted import forbidden_character

    for text in texts:
        if forbidden_character(text):
            raise ConfigError(option, f"{text!r}, with bytes that are no UTF-8", "UTF-8 text")
