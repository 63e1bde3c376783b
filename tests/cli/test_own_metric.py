"""A metric that another package brings, through training and evaluation."""

import json

from cli.conftest import recipe_of
from support.fresh_python import python
from support.packages import write_package

TOY = """
import softprompt

@softprompt.metric("empty", "generation", label="empty texts", higher_is_better=False)
def empty(outputs, references):
    return 100 * sum(not text for text in outputs) / len(outputs)
"""

BOTH = """
import sys
from softprompt.cli.app import main

for command in ("train", "evaluate"):
    try:
        main([command, sys.argv[1 + (command == "evaluate")]])
    except SystemExit as ended:
        assert not ended.code, (command, ended.code)
"""


def test_a_recipe_names_it(tmp_path, tiny_folder):
    packages = tmp_path / "packages"
    write_package(packages, "toy", {"toy.py": TOY}, {"softprompt.metrics": {"empty": "toy:empty"}})
    recipe = recipe_of(tmp_path, tiny_folder, metrics=["empty", "bleu"])
    run = tmp_path / "runs" / "small"
    printed = python(packages, BOTH, recipe, run)
    assert printed.count("empty texts") == 2 and printed.count("(lower is better)") == 2
    for name in ("result.json", "evaluation-test.json"):
        facts = json.loads((run / name).read_text(encoding="utf-8"))
        assert list(facts["scores"][0]["values"]) == ["empty", "bleu"]
        assert 0 <= facts["scores"][0]["values"]["empty"] <= 100
