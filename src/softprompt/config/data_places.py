"""Where the files of a recipe's data are looked for."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from softprompt.untrusted import at_home

SPLIT_NAME = re.compile(r"(.+):([^:\[\]\\/]+(?:\[[^\[\]]*\])?)")
"""A data set's name, or the folder of a saved one, and its split, which may be a slice: `x:train[:9]`."""


def data_root() -> Path:
    """The folder of data sets: `SOFTPROMPT_DATA`, or `../shared/data` beside the working directory."""
    return Path(os.environ.get("SOFTPROMPT_DATA", Path("..") / "shared" / "data"))


def found(path: Path | str, beside: Path | None = None) -> Path | None:
    """A file or folder of data; None where there is none.

    It is looked for beside the recipe, then in the working folder, then in the folder of data sets. `~` is
    the home folder. Of a saved data set (`folder:split`) the folder is looked for.

    Args:
        path: as it is written.
        beside: the folder of the recipe, where there is one.
    """
    written = at_home(str(path))
    match = SPLIT_NAME.fullmatch(str(written))
    for place in places(written, beside):
        if place.exists():
            return place
    if match is None:
        return None
    folder = next((place for place in places(Path(match[1]), beside) if is_saved(place)), None)
    return None if folder is None else Path(f"{folder}:{match[2]}")


def is_saved(folder: Path | str) -> bool:
    """Whether a folder is one that `save_to_disk` of `datasets` wrote."""
    return any((Path(folder) / name).is_file() for name in ("dataset_dict.json", "state.json"))


def places(path: Path | str, beside: Path | None = None) -> Sequence[Path]:
    """The places where `found` looks, in order."""
    written = at_home(str(path))
    folders = [*([beside] if beside is not None else []), Path.cwd(), data_root()]
    if written.is_absolute():
        return [written]
    return list(dict.fromkeys(Path(os.path.normpath(folder / written)) for folder in folders))


def settled(path: Path, beside: Path | None) -> Path:
    """The path as a run keeps it: whole, so that it is found from any folder, where its file is found.

    A file of the folder of data sets stays relative to it, so that a recipe's run means the same data on
    another machine.

    Args:
        path: as the recipe has it.
        beside: the folder of the recipe.
    """
    place = found(path, beside)
    below = Path(os.path.normpath(data_root() / path))
    if place is None or str(place).startswith(str(below)):
        return path
    return Path(os.path.normpath(place.absolute()))
