"""Plain mistakes in recipes and overrides: a sentence each."""

from pathlib import Path

import pytest

from softprompt.config import load_recipe
from softprompt.errors import ConfigError

RECIPES = Path(__file__).parents[2] / "recipes"

MISTAKES = [
    "task=classification",
    "task=[classification]",
    "task.name=[classification]",
    "task.name={a: 1}",
    "task.name=3",
    "method=prefix_tuning",
    "method=[x]",
    "method.name=[x]",
    "method.name={a: 1}",
    "data=x",
    "data=[1]",
    "data.format=[x]",
    "data.format={a: 1}",
    "training=x",
    "backbone=x",
    "decoding=x",
    "metrics={a: 1}",
    "metrics=[[1]]",
    "name=[a]",
    "name={a: 1}",
    "name=3",
    "name=..",
    "name=a/b",
    "name=/etc/x",
    "name=a\\b",
    "name=''",
    "name=' '",
    'name="a\\0b"',
    'name="a\\x1bb"',
    "name=x[/red]",
    "name=" + "x" * 300,
    "output=[1]",
    "training.seed=0b",
    "training.seed=99999999999999999999999",
    "training.seed=-1",
    "training.steps=0x",
    'data.train="a\\0b"',
    "training.learning_rate=.nan",
    "training.learning_rate=.inf",
    "training.batch_size=1.5",
    "data.train={a: b}",
    "name=" + "[" * 3000,
    "name=&a [*a]",
    "name=!!timestamp 2020-99-99",
    "name=*x",
    "..=3",
    "=",
    "task",
]


@pytest.mark.parametrize("recipe", ["rte-p-tuning-v2.yaml", "e2e-lowdata-prefix.yaml", "trex-p-tuning.yaml"])
@pytest.mark.parametrize("override", MISTAKES, ids=[one[:30] for one in MISTAKES])
def test_a_sentence_each(recipe, override):
    with pytest.raises(ConfigError) as caught:
        load_recipe(RECIPES / recipe, [override])
    assert len(str(caught.value)) < 4000 and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["2026-02-30", "12:30", "run-1", "é 中文", "1e5x", "a.b"])
def test_names_that_are_fine(name):
    settings = load_recipe(RECIPES / "rte-p-tuning-v2.yaml", [f"name={name}"])
    assert settings.name == name
