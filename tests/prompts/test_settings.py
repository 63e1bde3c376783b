"""Settings made from signatures: every recipe says what it said before there were any."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from softprompt.prompts.methods import METHODS

RECIPES = Path(__file__).parents[2] / "recipes"

# The defaults of recipes, as they stood before the settings were made from the methods' signatures.
DEFAULTS: dict[str, dict[str, Any]] = {
    "prefix_tuning": {
        "length": None,
        "layers": "all",
        "sites": None,
        "reparameterization": "mlp",
        "width": 512,
        "depth": 1,
        "initialization": "examples:4",
        "draws": 1,
        "positions": None,
        "dropout": 0.0,
        "tune": None,
    },
    "prompt_tuning": {
        "length": None,
        "reparameterization": None,
        "width": 512,
        "depth": 1,
        "initialization": "vocabulary",
        "draws": 1,
        "positions": None,
        "dropout": 0.0,
        "tune": None,
    },
    "p_tuning_v2": {
        "length": None,
        "layers": "all",
        "sites": None,
        "reparameterization": None,
        "width": 512,
        "depth": 1,
        "initialization": "random",
        "positions": None,
        "dropout": 0.0,
        "tune": None,
    },
    "p_tuning": {
        "template": None,
        "encoder": "lstm",
        "width": None,
        "depth": None,
        "dropout": 0.0,
        "initialization": "random",
        "tune": None,
    },
    "null_prompt": {"template": None, "tune": "auto"},
    "in_context": {"examples": 32, "max_tokens": 512},
    "visual_prompt_tuning": {
        "length": None,
        "depth": None,
        "location": "prepend",
        "layers": "all",
        "project": None,
        "dropout": 0.0,
        "pool": None,
        "tune": None,
    },
    "fine_tuning": {"tune": "all"},
    "head_only": {},
    "adapter": {
        "reduction": 16,
        "width": None,
        "activation": "relu",
        "placement": "houlsby",
        "layers": "all",
    },
    "lora": {"rank": 8, "alpha": 16, "dropout": 0.0, "targets": None, "layers": "all"},
}


def sections(node: Any) -> list[dict[str, Any]]:
    """Every `method` with a name, wherever it stands in a file."""
    if isinstance(node, list):
        return [found for value in node for found in sections(value)]
    if not isinstance(node, dict):
        return []
    method = node.get("method")
    own = [method] if isinstance(method, dict) and "name" in method else []
    return own + [found for value in node.values() for found in sections(value)]


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_and_texts(name: str):
    settings = METHODS[name].settings
    assert settings().model_dump() == {"name": name, **DEFAULTS[name]}
    assert all(field.description for key, field in settings.model_fields.items() if key != "name")


@pytest.mark.parametrize("name", DEFAULTS)
def test_settings_go_to_other_processes(name: str):
    settings = METHODS[name].settings()
    assert pickle.loads(pickle.dumps(settings)) == settings == copy.deepcopy(settings)


def test_every_recipe_says_what_it_said():
    paths = sorted(RECIPES.rglob("*.yaml"))
    read = [section for path in paths for section in sections(yaml.safe_load(path.read_text("utf-8")))]
    assert len(read) >= 116 and {section["name"] for section in read} <= set(DEFAULTS)
    for section in read:
        settings = METHODS[section["name"]].settings.model_validate(section)
        assert settings.model_dump() == {**DEFAULTS[section["name"]], **section}
