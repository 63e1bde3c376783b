"""The examples of docs/data.md give the records that the page shows."""

import json
import re
from pathlib import Path

import pytest
import yaml

from softprompt.config import load_run
from softprompt.data import load

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")

EXAMPLES = re.findall(r"```\w+ (\S+)\n(.*?)```\n\n```yaml\n(.*?)```\n\n```json\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("name", "content", "recipe", "record"), EXAMPLES, ids=[one[0] for one in EXAMPLES])
def test_an_example_gives_its_record(tmp_path, name, content, recipe, record):
    (tmp_path / name).write_text(content, encoding="utf-8")
    settings = {**yaml.safe_load(recipe), "training": {"steps": 1}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    splits = load(load_run(tmp_path / "recipe.yaml").data)
    shown = json.loads(record)
    assert splits.train[0].source == shown["source"]
    assert list(splits.train[0].targets) == shown["targets"]
    found = (
        set(settings["data"]) <= {"train", "label_separator"} and name != "ner.txt"
    )  # whose columns have no names
    assert any(f"{name}: " in note and " from " in note for note in splits.notes) == found


def test_there_are_examples_of_every_role():
    assert len(EXAMPLES) >= 8
    assert len(EXAMPLES) == PAGE.count("```yaml\n")
