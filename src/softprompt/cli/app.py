"""The command `softprompt`: one file per subcommand, errors in one red line."""

import errno
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from softprompt.cli.commands import (
    backbones,
    compare,
    convert,
    demo,
    evaluate,
    generate,
    inspect,
    look,
    new,
    papers,
    predict,
    pull,
    push,
    recipes,
    report,
    rescore,
    study,
    train,
)
from softprompt.cli.options import epilog
from softprompt.errors import ConfigError, SoftpromptError, printable, shortened, system_says

# Typer has click within or beside it, by its version; this is the error of either.
_UsageError: Any = typer.BadParameter.__bases__[0]


class _Commands(TyperGroup):
    """The subcommands. An error about an argument quotes the argument without control characters."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the options before the subcommand."""
        return _cleaned(super().make_context, *arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Parse the subcommand's own options, and run the subcommand."""
        return _cleaned(super().invoke, ctx)


def _cleaned(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        return function(*arguments, **options)
    except _UsageError as error:
        error.message = printable(error.message)
        raise


app = typer.Typer(
    cls=_Commands,
    name="softprompt",
    help="Soft prompts for frozen transformers: train, measure and use them.",
    epilog=epilog(demo.EXAMPLES),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo,
    new,
    train,
    study,
    report,
    compare,
    evaluate,
    generate,
    predict,
    inspect,
    look,
    convert,
    push,
    pull,
):
    name = command.__name__.rpartition(".")[2]
    app.command(name, epilog=epilog(command.EXAMPLES))(getattr(command, name))
app.command("rescore", hidden=True)(rescore.rescore)
app.add_typer(backbones.app, name="backbones", epilog=epilog(backbones.LIST_EXAMPLES))
app.add_typer(papers.app, name="papers", epilog=epilog(papers.LIST_EXAMPLES))
app.add_typer(recipes.app, name="recipes", epilog=epilog(recipes.LIST_EXAMPLES))


def _version(wanted: bool) -> None:
    from softprompt.terminal import echo

    if wanted:
        from softprompt import __version__

        echo(f"softprompt {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Soft prompts for frozen transformers: train, measure and use them."""
    # An error is caught outside of this context, where only this list is known.
    context.ensure_object(list).append(debug)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 misused, 130 interrupted."""
    from softprompt.terminal import clean_warnings

    for stream in (sys.stdout, sys.stderr):
        # One character that a terminal cannot show must not stop the output.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    clean_warnings()
    debug: list[bool] = []
    try:
        app(arguments, obj=debug)
    except SoftpromptError as error:
        if any(debug):
            raise
        _print_error(str(error))
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except OSError as error:
        # A path that the system refuses to look at (too long, in a closed folder), or a full disk under `>`.
        if any(debug) or (error.filename is None and error.errno != errno.ENOSPC):
            raise
        where = "standard output" if error.filename is None else str(error.filename)
        _print_error(f"{shortened(printable(where), 200)}: {system_says(error)}")
        sys.exit(1)


def _print_error(message: str) -> None:
    from rich.text import Text

    from softprompt.terminal import Terminal

    Terminal(stderr=True).print(Text(f"error: {message}", style="red"), soft_wrap=True)


if __name__ == "__main__":
    main()
