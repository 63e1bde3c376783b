"""softprompt train: one run from a recipe, of one task or of several."""

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softprompt.cli.options import Overrides, recipe_or_named

if TYPE_CHECKING:
    from softprompt.training import FolderTakenError

EXAMPLES = (
    ("Example", "softprompt train recipes/e2e-lowdata-prefix.yaml"),
    ("Several tasks at once", "softprompt train recipes/fewglue-together.yaml"),
    (
        "A first try",
        "softprompt train recipes/e2e-lowdata-prefix.yaml --set name=try"
        " --set training.steps=5 --set data.test_size=4",
    ),
)


def train(
    recipe: Annotated[Path, typer.Argument(help="YAML file with the run's settings.", show_default=False)],
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the run's last checkpoint.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for run folders, instead of the recipe's.", show_default=False)
    ] = None,
) -> None:
    """Train a prompt from a recipe, and write a run folder."""

    from softprompt.config import MixtureSettings, load_recipe

    # A mistake in the recipe is said before torch is imported, which takes seconds.
    settings = load_recipe(recipe_or_named(recipe), overrides or [])
    from softprompt.cli.tables import print_parts, print_scores
    from softprompt.terminal import Terminal, print_line
    from softprompt.training import FolderTakenError, Processes
    from softprompt.training import train as train_prompt

    console = Terminal()
    if output is not None:
        settings = settings.model_copy(update={"output": output})
    # Only the main process prints.
    console.quiet = not Processes(settings.backbone.device).is_main
    try:
        result = train_prompt(settings, resume=resume, console=console)
    except KeyboardInterrupt:
        _say_how_to_go_on(settings.folder, recipe, overrides or [], output)
        raise typer.Exit(130) from None
    except FolderTakenError as error:
        raise _with_another_name(error, settings.folder) from None
    if isinstance(settings, MixtureSettings):
        metrics = {name: settings.part(name).metrics for name in result.parts}
        print_parts(console, f"{settings.name}: test", result.parts, metrics)
    elif result.scores:
        print_scores(console, f"{settings.name}: test", result.scores, settings.metrics)
    print_line(console, f"run folder: {result.folder}")


def _with_another_name(error: "FolderTakenError", folder: Path) -> "FolderTakenError":
    """The refusal of a folder with what to type."""
    name = next(name for i in count(2) if not folder.with_name(name := f"{folder.name}-{i}").exists())
    do = f"choose another name: --set name={name}"
    if (folder / "settings.yaml").exists() and not (folder / "result.json").exists():
        do += "; or go on with this run: --resume"
    return type(error)(error.where, error.got, error.expected, do)


def _say_how_to_go_on(folder: Path, recipe: Path, overrides: list[str], output: Path | None) -> None:
    from softprompt.studies import command_line
    from softprompt.terminal import echo

    again = command_line("train", recipe, overrides=overrides, output=output)
    if any((folder / "checkpoints").glob("step-*")):
        echo(f"\ninterrupted; the checkpoint is in {folder / 'checkpoints'}", err=True)
    else:
        echo("\ninterrupted before the first checkpoint", err=True)
    if (folder / "settings.yaml").is_file():
        again += " --resume"
    echo(f"go on with: {again}", err=True)
