"""The recipes that come with softprompt: inside the package, or in a checkout beside the sources."""

import os
from pathlib import Path

import softprompt
from softprompt.errors import ConfigError, nearest

FOLDER = "recipes"


def recipe_folder() -> Path:
    """The folder of the recipes, relative where it lies in the working directory.

    Raises:
        ConfigError: neither the package nor a checkout has them.
    """
    package = Path(softprompt.__file__).parent
    for place in (package / FOLDER, package.parents[1] / FOLDER):
        if (place / "papers" / "papers.yaml").is_file():
            try:
                # As a user in the working directory would write it.
                return Path(os.path.relpath(place)) if place.is_relative_to(Path.cwd()) else place
            except ValueError:  # another drive
                return place
    raise ConfigError(FOLDER, "none", f"recipes in {package / FOLDER}", "install softprompt anew")


def recipe_names() -> list[str]:
    """Every recipe, study and protocol by its path in the folder without the ending: `studies/rte-length`."""
    folder = recipe_folder()
    found = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
    return sorted((name for name in found if name not in _TABLES), key=lambda name: (name.count("/"), name))


_TABLES = ("papers/papers", "papers/published")
"""Files of the folder that no command runs: the catalogue, and figures that studies show."""


def named_recipe(name: str | Path) -> Path:
    """The file of a recipe that comes with softprompt.

    Args:
        name: as `recipe_names` gives it, its last part, or its path: `studies/rte-length`, `rte-length`,
            `recipes/studies/rte-length.yaml`.

    Raises:
        ConfigError: no recipe, or more than one, has this name.
    """
    wanted = _bare(Path(name))
    names = recipe_names()
    found = [wanted] if wanted in names else [one for one in names if one.rpartition("/")[2] == wanted]
    if len(found) != 1:
        close = nearest(wanted, [*names, *(one.rpartition("/")[2] for one in names)])
        raise ConfigError(
            "recipe",
            str(name),
            f"one of {', '.join(found)}" if found else "the name of a recipe that comes with softprompt",
            close if close and not found else "`softprompt recipes list` shows them",
        )
    return recipe_folder() / f"{found[0]}.yaml"


def found_recipe(path: Path) -> Path:
    """A path as it is where there is something, else the recipe of that name that comes with softprompt.

    `recipes/NAME.yaml`, `NAME.yaml` and `NAME` are names; any other path is a place of the user's own.

    Raises:
        ConfigError: nothing is there, and no recipe has this name.
    """
    if path.exists() or path.is_absolute() or ".." in path.parts:
        return path
    if len(path.parts) > 1 and path.parts[0] not in (FOLDER, "studies", "papers"):
        return path
    try:
        return named_recipe(path)
    except ConfigError as error:
        # The path stands for a file first, and for a name second.
        raise ConfigError(
            str(path), "no such file", f"a YAML file with settings, or {error.expected}", error.hint
        ) from None


def _bare(path: Path) -> str:
    parts = path.parts[1:] if path.parts[:1] == (FOLDER,) else path.parts
    name = "/".join(parts)
    return name.removesuffix(".yaml").removesuffix(".yml")
