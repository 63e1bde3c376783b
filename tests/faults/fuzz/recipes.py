"""Recipes, mixtures, studies and overrides, damaged and loaded."""

import json
import re
from pathlib import Path
from random import Random
from typing import Any

from faults.fuzz.messages import check_message
from faults.fuzz.recipe_changes import MUTATORS, RUNS, STUDIES
from softprompt.config import load_recipe, parse_as
from softprompt.errors import SoftpromptError
from softprompt.studies import load_grid
from softprompt.studies.reading.grid import planned_grid
from softprompt.training.run_folder import as_yaml, flat
from softprompt.untrusted import parse_yaml

_SAME = tuple(name for name in MUTATORS if name.startswith("same"))
"""Mutations that change the file and not what it says."""


def choose(random: Random) -> str:
    """The name of a mutation."""
    return random.choice(list(MUTATORS))


def attempt(random: Random, scratch: Path) -> str:
    """Load one damaged recipe or study; `loaded` or `refused`.

    Raises:
        AssertionError: the loaded settings are not what the file says, or not the same once stored and read.
    """
    name = choose(random)
    study = random.random() < 0.35
    text = random.choice(list((STUDIES if study else RUNS).values()))
    file = scratch / "recipe.yaml"
    content, overrides = MUTATORS[name](random, text, file)
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    load = _load_study if study else _load_recipe
    refusal, loaded = None, None
    try:
        loaded = load(file, overrides)
    except SoftpromptError as error:
        refusal = str(error)
    if refusal is not None:
        check_message(refusal)
        assert name not in _SAME, f"{name} changes nothing, and was refused: {refusal}"
        return "refused"
    if name in _SAME:
        plain = scratch / "plain.yaml"
        plain.write_text(text, encoding="utf-8")
        assert _say_alike(loaded, load(plain, [])), f"{name} changes nothing, and loads as something else"
    _check_overrides(loaded, overrides)
    return "loaded"


def _load_recipe(file: Path, overrides: list[str]) -> Any:
    settings = load_recipe(file, overrides)
    stored = as_yaml(settings)
    assert parse_as(parse_yaml(stored), type(settings), "stored") == settings, "not the same once stored"
    flat(settings)
    return settings


def _load_study(file: Path, overrides: list[str]) -> Any:
    grid = load_grid(file, overrides, file.parent / "runs")
    again = planned_grid(grid.settings, grid.plan, grid.folder)
    assert again == grid, "the grid of a study's plan is another one"
    stored = json.loads(json.dumps(grid.settings.model_dump(mode="json")))
    assert type(grid.settings).model_validate(stored) == grid.settings, "not the same once stored"
    for run in [run for cell in grid.all_cells for run in cell.possible][:3]:
        assert parse_as(parse_yaml(as_yaml(run.settings)), type(run.settings), "stored") == run.settings
    return grid


def _say_alike(one: Any, other: Any) -> bool:
    if hasattr(one, "plan"):
        return one.settings == other.settings and one.cells == other.cells
    return one == other


def _check_overrides(loaded: Any, overrides: list[str]) -> None:
    """A number that an override gives is the setting's value."""
    if hasattr(loaded, "plan"):
        return
    last = {key.strip(): value for key, _, value in (one.partition("=") for one in overrides)}
    settings = flat(loaded)
    for key, value in last.items():
        inside = [
            other
            for other in last
            if other != key and (f"{other}.".startswith(f"{key}.") or key.startswith(f"{other}."))
        ]
        if key in settings and re.fullmatch("-?[1-9][0-9]{0,8}", value) and not inside:
            assert str(settings[key]) in (value, f"{value}.0"), f"{key}={value} reads as {settings[key]!r}"
