"""softprompt recipes: what comes with softprompt, listed, shown and copied."""

from pathlib import Path
from typing import Annotated, Any

import typer

from softprompt.cli.options import epilog

app = typer.Typer(help="The recipes that come with softprompt.", no_args_is_help=True)

LIST_EXAMPLES = (("Example", "softprompt recipes list"),)
SHOW_EXAMPLES = (("Example", "softprompt recipes show e2e-lowdata-prefix"),)
COPY_EXAMPLES = (
    ("Example", "softprompt recipes copy e2e-lowdata-prefix"),
    ("A study, with the recipe that it varies", "softprompt recipes copy rte-length my-recipes"),
)

_Name = Annotated[str, typer.Argument(help="As `softprompt recipes list` shows it.", show_default=False)]


@app.command("list", epilog=epilog(LIST_EXAMPLES))
def list_() -> None:
    """Show every recipe, and what it is for."""
    from rich.table import Table

    from softprompt.config import recipe_folder, recipe_names
    from softprompt.terminal import Terminal

    table = Table("name", "command", "what it is for")
    folder = recipe_folder()
    for name in recipe_names():
        text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
        table.add_row(name, "study" if "/" in name else "train", _purpose(text))
    Terminal().print(table)


@app.command("show", epilog=epilog(SHOW_EXAMPLES))
def show(name: _Name) -> None:
    """Print a recipe."""
    from softprompt.config import named_recipe
    from softprompt.terminal import echo

    echo(named_recipe(name).read_text(encoding="utf-8").rstrip("\n"))


@app.command("copy", epilog=epilog(COPY_EXAMPLES))
def copy(
    name: _Name,
    destination: Annotated[
        Path, typer.Argument(help="A folder, or for a recipe that needs no other file a file NAME.yaml.")
    ] = Path("recipes"),
) -> None:
    """Copy a recipe to change it; a study with the recipes that it varies, in folders as they lie here."""
    from softprompt.config import named_recipe, recipe_folder
    from softprompt.errors import ConfigError
    from softprompt.terminal import echo

    source, folder = named_recipe(name).resolve(), recipe_folder().resolve()
    files = _with_what_it_names(source)
    if destination.suffix in (".yaml", ".yml"):
        if len(files) > 1:
            others = ", ".join(path.relative_to(folder).as_posix() for path in files[1:])
            raise ConfigError(
                str(destination),
                "a file",
                f"a folder, since {name} names other files: {others}",
                "give a folder",
            )
        places = {source: destination}
    else:
        places = {path: destination / path.relative_to(folder) for path in files}
    for path, place in places.items():
        if place.exists() and (not place.is_file() or place.read_bytes() != path.read_bytes()):
            raise ConfigError(
                str(place),
                "a file with another content",
                "nothing there",
                "move it away, or name another folder",
            )
    for path, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
        echo(f"wrote {place}")
    command = "study" if source.parent != folder else "train"
    echo(f"use it: softprompt {command} {places[source].as_posix()}")


def _purpose(text: str) -> str:
    """The first sentence of the comment that a recipe begins with."""
    lines = []
    for line in text.splitlines():
        words = line.removeprefix("#").strip()
        if not line.startswith("#") or words.startswith("softprompt "):
            break
        lines.append(words)
    return " ".join(lines).partition(". ")[0].removesuffix(".")


def _with_what_it_names(path: Path) -> list[Path]:
    """A recipe, and the files that stand in it by their path: its base, published figures, a vocabulary."""
    from softprompt.config import read_mapping

    found = [path]
    for text in _texts(read_mapping(path)):
        other = (path.parent / text.partition("#")[0]).resolve()
        if other.suffix in (".yaml", ".txt", ".json") and other.is_file() and other not in found:
            found += (
                [one for one in _with_what_it_names(other) if one not in found]
                if other.suffix == ".yaml"
                else [other]
            )
    return found


def _texts(value: Any) -> list[str]:
    """Every text in nested lists and mappings."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return []
    return [text for one in value for text in _texts(one)]
