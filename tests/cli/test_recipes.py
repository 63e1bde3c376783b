from pathlib import Path

import pytest

from softprompt.config import MixtureSettings, RunSettings, load_recipe
from softprompt.data import data_root
from softprompt.tasks.language.decoding import check_decoding

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def test_there_are_recipes():
    assert len(RECIPES) >= 5


def runs_of(path: Path) -> list[RunSettings]:
    """The settings of a recipe's run, or of each part's."""
    settings = load_recipe(path)
    assert settings.name == path.stem
    if isinstance(settings, MixtureSettings):
        return [settings.part(name) for name in settings.parts]
    return [settings]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_valid_and_named_like_its_file(path):
    for settings in runs_of(path):
        check_decoding(settings.decoding)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_finds_its_data(path):
    from softprompt.data import load

    for settings in runs_of(path):
        for split in (settings.data.train, settings.data.dev, settings.data.test):
            if split is not None and not (data_root() / split).exists():
                pytest.skip(f"{data_root() / split} is not there (SOFTPROMPT_DATA names the data folder)")
        splits = load(settings.data)
        assert splits.train and splits.test
