"""The task of docs/extending.md in a package of its own: training, evaluation, prediction and a study."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.test_other_packages import said_by, shown
from support.packages import write_package
from support.tasks import recipe_of

METRIC = """
@softprompt.metric("off_by", "ordinal", label="off by", higher_is_better=False)
def off_by(outputs, references, labels):
    return sum(abs(labels.index(a) - labels.index(b)) for a, b in zip(outputs, references)) / len(outputs)
"""

WITH = """
import contextlib, io, json, sys
from softprompt.cli.app import main
from softprompt.config import load_run
from softprompt.errors import SoftpromptError

recipe, study, run = sys.argv[1:]
said = {}

def ended(name, *arguments):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            main(list(arguments))
        except SystemExit as end:
            said[name] = [end.code, printed.getvalue()]

def refused(name, *changes):
    try:
        load_run(recipe, list(changes))
    except SoftpromptError as error:
        said[name] = str(error).partition(".yaml: ")[2]

said["settings"] = load_run(recipe).task.model_dump()
refused("key", "task.powr=1")
refused("bound", "task.power=0")
refused("metric", "metrics=[rmse]")
ended("train", "train", recipe)
ended("evaluate", "evaluate", run)
ended("predict", "predict", run, "the mill is cheap", "--second", "blue food")
ended("choice", "predict", run, "the mill", "--choice", "a", "--choice", "b")
ended("study", "study", study)
ended("report", "report", study)
print(json.dumps(said))
"""

WITHOUT = """
import json, sys
from softprompt.config import load_run
from softprompt.errors import SoftpromptError

try:
    load_run(sys.argv[1])
except SoftpromptError as error:
    print(json.dumps({"recipe": str(error)}))
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> dict[str, Any]:
    """What is said with the package on the path, the folder of the study, and what is said without it."""
    folder = tmp_path_factory.mktemp("work")
    recipe = recipe_of(
        "pair", folder, tiny_encoder, task={"name": "ordinal", "labels": ["no", "yes"]},
        metrics=["accuracy", "off_by"],
    )  # fmt: skip
    study = {"name": "powers", "output": str(folder / "runs"), "base": recipe.name}
    study |= {"set": {"training.steps": 1}, "vary": {"key": "task.power", "values": [1, 3]}}
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    offers = {
        "softprompt.tasks": {"ordinal": "own_package:OrdinalTask"},
        "softprompt.metrics": {"off_by": "own_package:off_by"},
    }
    write_package(folder / "site", "own_package", {"own_package.py": shown("A task") + METRIC}, offers)
    run = folder / "runs" / yaml.safe_load(recipe.read_text(encoding="utf-8"))["name"]
    said = said_by(folder / "site", WITH, recipe, folder / "study.yaml", run)
    return {**said, "run": run, "without": said_by(folder / "none", WITHOUT, recipe)}


def test_a_recipe_names_it(work):
    assert work["settings"] == {"name": "ordinal", "labels": ["no", "yes"], "max_tokens": 128, "power": 2}
    assert work["key"] == "task.powr: got an unknown setting. Did you mean 'power'?"
    assert work["bound"] == "task.power: got 0, expected at least 1."
    expected = "got 'rmse' for task 'ordinal', expected some of accuracy, macro_f1, off_by."
    assert work["metric"] == f"metrics: {expected}"


def test_it_is_trained_and_evaluated(work):
    for command, file in (("train", "result.json"), ("evaluate", "evaluation-test.json")):
        assert work[command][0] == 0 and "off by" in work[command][1]
        facts = json.loads((work["run"] / file).read_text(encoding="utf-8"))
        assert list(facts["scores"][0]["values"]) == ["accuracy", "off_by"]
    card = json.loads((work["run"] / "prompt" / "prompt.json").read_text(encoding="utf-8"))
    assert card["task"]["name"] == "ordinal" and card["head"]["kind"] == "sequence"


def test_it_predicts(work):
    code, printed = work["predict"]
    assert code == 0 and printed.strip() in ("no", "yes")
    assert work["choice"][0] != 0


def test_a_study_shows_its_answers(work):
    assert (work["study"][0], work["report"][0]) == (0, 0) and "accuracy" in work["study"][1]
    report = (work["run"].parent / "powers" / "report" / "report.html").read_text(encoding="utf-8")
    assert "The rows differ on" in report


def test_without_its_package_a_recipe_is_refused(work):
    assert "task.name: got 'ordinal', expected one of 'generation', " in work["without"]["recipe"]
    assert work["without"]["recipe"].endswith("Install the package that offers this task.")
