"""Settings that cost a careless parser its time or memory: a sentence, soon."""

import time
from pathlib import Path

import pytest

from softprompt.config import load_recipe
from softprompt.errors import ConfigError

RECIPE = Path(__file__).parents[2] / "recipes" / "rte-p-tuning-v2.yaml"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("x: [" + "a," * 200_000 + "]", "values in YAML"),
        ("x: &a [1]\ny: [" + "*a," * 100_000 + "]", "values in YAML"),
        ("".join(f"k{i}: {i}\n" for i in range(9_000)), "and 8,910 more"),
        ('x: "\\UFFFFFFFF"', "an escape beyond the last character"),
        ('x: "\\U00110000"', "YAML"),
    ],
)
def test_recipes(tmp_path, more, message):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"{RECIPE.read_text(encoding='utf-8')}\n{more}\n", encoding="utf-8")
    began = time.process_time()
    with pytest.raises(ConfigError, match=message):
        load_recipe(file)
    assert time.process_time() - began < 2


def test_overrides():
    with pytest.raises(ConfigError, match="an escape beyond the last character"):
        load_recipe(RECIPE, ['name="\\UFFFFFFFF"'])
