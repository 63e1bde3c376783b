"""The method and the initialisation of docs/extending.md, in a package of their own, and without it."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import recipe_of
from support.fresh_python import python
from support.packages import write_package

ROOT = Path(__file__).parents[2]

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def shown(section: str) -> str:
    """The Python of one section of the page, as it stands there."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return text.partition("```python\n")[2].partition("```")[0]


PACKAGE = shown("A method") + shown("An initialisation")

WITH = """
import json, sys
import softprompt
from softprompt.cli.app import main
from softprompt.config import load_run
from softprompt.errors import SoftpromptError

recipe, backbone, folder = sys.argv[1:]
said = {}

def refused(name, call):
    try:
        call()
    except SoftpromptError as error:
        said[name] = str(error)

settings = load_run(recipe)
said["settings"] = settings.method.model_dump()
refused("unknown", lambda: load_run(recipe, ["method.lsat=1", "method.length=0"]))
try:
    main(["train", recipe])
except SystemExit as end:
    said["trained"] = end.code
loaded = softprompt.load_backbone(backbone, device="cpu")
from own_package import reminder
prompt = reminder(loaded, 2, initialization="ramp: 3", last=2)
prompt.save(folder)
keys = prompt.tensors()["decoder.0-1.keys"]
said["made"] = [prompt.card.method, prompt.card.sites, keys[0, 0, 1, 0].item()]
refused("python", lambda: reminder(loaded, 0, last=0))
refused("start", lambda: reminder(loaded, initialization="ramp"))
refused("form", lambda: softprompt.prompt_tuning(loaded, initialization="rampe"))
print(json.dumps(said))
"""

WITHOUT = """
import json, sys
import torch
import softprompt
from softprompt.config import load_run
from softprompt.errors import SoftpromptError
from softprompt.files import prompt_folder

recipe, backbone, *folders = sys.argv[1:]
loaded = softprompt.load_backbone(backbone, device="cpu")
said = {"cards": [], "differs": []}
bare = loaded.model(torch.tensor([[5, 6, 7]])).logits
for folder in folders:
    prompt = softprompt.load_prompt(folder, loaded)
    with torch.no_grad(), loaded.prompted(prompt) as prompted:
        said["differs"].append(not torch.equal(prompted(torch.tensor([[5, 6, 7]])).logits, bare))
    card = prompt.card
    said["cards"].append([card.method, card.initialization, card.versions["own-package"]])
try:
    load_run(recipe)
except SoftpromptError as error:
    said["recipe"] = str(error)
more = folders[0] + "-more"
prompt_folder.write_prompt(more, prompt.tensors() | {"own": torch.ones(2)}, prompt.card)
try:
    softprompt.load_prompt(more, loaded)
except SoftpromptError as error:
    said["more"] = str(error)
print(json.dumps(said))
"""


def said_by(packages: Path, code: str, *arguments: Path) -> dict[str, Any]:
    """What a script prints last, run in a process of its own that has a folder's packages."""
    return json.loads(python(packages, code, *arguments).splitlines()[-1])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> dict[str, dict[str, Any]]:
    """What is said with the package on the path, and then without it."""
    folder = tmp_path_factory.mktemp("work")
    offers = {
        "softprompt.methods": {"reminder": "own_package:reminder"},
        "softprompt.initializations": {"ramp": "own_package:ramp"},
    }
    write_package(folder / "site", "own_package", {"own_package.py": PACKAGE}, offers)
    recipe = recipe_of(
        folder, tiny_folder, method={"name": "reminder", "last": 2, "initialization": "ramp: 2"}
    )
    with_it = said_by(folder / "site", WITH, recipe, tiny_folder, folder / "prompt")
    folders = (folder / "prompt", folder / "runs" / "small" / "prompt")
    return {"with": with_it, "without": said_by(folder / "none", WITHOUT, recipe, tiny_folder, *folders)}


def test_a_recipe_names_it(work: dict[str, dict[str, Any]]):
    said = work["with"]
    assert said["settings"] == {"name": "reminder", "length": None, "initialization": "ramp: 2", "last": 2}
    assert said["trained"] == 0
    assert [line.partition("recipe.yaml: ")[2] for line in said["unknown"].splitlines()] == [
        "method.length: got 0, expected at least 1.",
        "method.lsat: got an unknown setting. Did you mean 'last'?",
    ]


def test_python_calls_it(work: dict[str, dict[str, Any]]):
    said = work["with"]
    assert said["made"] == ["reminder", {"decoder": [0, 1]}, 3.0]
    assert said["python"].splitlines() == [
        "reminder.length: got 0, expected at least 1, or None.",
        "reminder.last: got 0, expected at least 1.",
    ]
    forms = "'examples:k', 'text: ...', 'vocabulary', 'random', 'zero', 'prompt: FOLDER' or 'ramp: ...'"
    assert said["start"] == f"method.initialization: got 'ramp', expected {forms}. Write 'ramp: ...'."
    assert said["form"] == f"method.initialization: got 'rampe', expected {forms}. Did you mean 'ramp'?"


def test_its_prompts_load_without_the_package(work: dict[str, dict[str, Any]]):
    said = work["without"]
    assert said["cards"] == [["reminder", "ramp: 3", "1.2"], ["reminder", "ramp: 2", "1.2"]]
    assert said["differs"] == [True, True]


def test_what_needs_the_package_names_it(work: dict[str, dict[str, Any]]):
    said = work["without"]
    assert "method.name: got 'reminder', expected one of 'prefix_tuning', " in said["recipe"]
    assert said["recipe"].endswith("Install the package that offers this method.")
    assert said["more"].endswith(
        "got 'own', which the card does not name, expected the tensors of the card alone. The prompt was "
        "made by the method 'reminder', which is not here; install own-package 1.2."
    )
