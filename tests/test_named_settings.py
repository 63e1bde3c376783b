"""Settings that messages name exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

import softprompt
from softprompt.config import DataSettings, DecodingSettings, TrainingSettings
from softprompt.config.settings import BackboneSettings
from softprompt.prompts.methods import METHODS, build_prompt
from softprompt.tasks import TASKS
from support.tiny import tiny_backbone

SECTIONS: dict[str, list[type[BaseModel]]] = {
    "data": [DataSettings],
    "decoding": [DecodingSettings],
    "training": [TrainingSettings],
    "backbone": [BackboneSettings],
    "task": [row.settings for row in TASKS.rows.values()],
    "method": [row.settings for row in METHODS.rows.values()],
}

_PYTHON = (
    "backbone.model",
    "backbone.processor",
    "backbone.prompted",
    "backbone.active_rows",
    "backbone.tokenizer",
)
"""Attributes of a backbone in Python, which messages to its callers name."""

_FILES = ("backbone.json", "backbone.samples", "backbone.record")
"""Files, and parts of a prompt's card."""

_KEY = re.compile(rf"(?<![\w./{{{{]){'(' + '|'.join(SECTIONS) + ')'}\.([a-z_]+)\b(?![.(])")


def texts_of(file: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module that are no docstrings and no remarks."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


def test_every_setting_in_a_message_exists():
    root, unknown = Path(softprompt.__file__).parent, []
    for file in sorted(root.rglob("*.py")):
        for line, text in texts_of(file):
            for section, name in _KEY.findall(text):
                known = any(name in settings.model_fields for settings in SECTIONS[section])
                # A name that a message goes on to write is only begun.
                begun = name.endswith("_") and any(
                    field.startswith(name)
                    for settings in SECTIONS[section]
                    for field in settings.model_fields
                )
                if not known and not begun and f"{section}.{name}" not in (*_PYTHON, *_FILES):
                    unknown.append(f"{file.relative_to(root).as_posix()}:{line}: {section}.{name}")
    assert unknown == []


@pytest.mark.parametrize(
    ("method", "changes", "where"),
    [
        ("prefix_tuning", {"layers": [14]}, "method.layers"),
        ("prefix_tuning", {"sites": ["cross"]}, "method.sites"),
        ("adapter", {"reduction": 33}, "method.reduction"),
        ("lora", {"targets": ["valu"]}, "method.targets"),
        ("fine_tuning", {"tune": "last:9"}, "method.tune"),
    ],
)
def test_arguments_of_a_recipes_method_are_named_as_its_settings(method, changes, where):
    settings = METHODS[method].settings(name=method, **changes)
    with pytest.raises(softprompt.errors.SoftpromptError) as caught:
        build_prompt(tiny_backbone("llama"), settings, seed=0)
    assert caught.value.where == where and str(caught.value).startswith(f"{where}: got ")
