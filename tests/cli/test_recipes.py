from pathlib import Path

import pytest

from softprompt.config import load_run
from softprompt.data.root import data_root
from softprompt.tasks.decoding import check_decoding

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def test_there_are_recipes():
    assert len(RECIPES) >= 5


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_valid_and_named_like_its_file(path):
    settings = load_run(path)
    assert settings.name == path.stem
    check_decoding(settings.decoding)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_finds_its_data(path):
    from softprompt.data import load

    settings = load_run(path)
    for split in (settings.data.train, settings.data.dev, settings.data.test):
        if split is not None and not (data_root() / split).exists():
            pytest.skip(f"{data_root() / split} is not there (SOFTPROMPT_DATA names the data folder)")
    splits = load(settings.data)
    assert splits.train and splits.test
