"""The core without the libraries of the extras, each in a Python that does not find them."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from softprompt.extras import EXTRAS
from support.processes import running

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

WITHOUT = """
import sys
from importlib.machinery import PathFinder

absent = set(sys.argv.pop(1).split(","))

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""

CORE = """
import torch
import softprompt

backbone = softprompt.load_backbone(sys.argv[1], device="cpu")
ids = torch.tensor([[5, 6, 7]])
for prompt in (softprompt.prefix_tuning(backbone, 2), softprompt.prompt_tuning(backbone, 2)):
    prompt.save(sys.argv[2])
    with torch.no_grad():
        with backbone.prompted(prompt):
            made = backbone.model(ids).logits
        with backbone.prompted(softprompt.load_prompt(sys.argv[2], backbone)):
            loaded = backbone.model(ids).logits
        bare = backbone.model(ids).logits
    assert torch.equal(made, loaded) and not torch.equal(made, bare)
print("used")
"""

COMMAND = "from softprompt.cli import main; main()"


FORGOTTEN = """
for name in list(sys.modules):
    if name.partition(".")[0] in absent:
        del sys.modules[name]
"""


@dataclass
class Done:
    """How a process ended, and what it printed."""

    returncode: int | None
    stdout: str
    stderr: str


def forked_without(modules, code, *arguments):
    """A process that has none of these modules, which torch and transformers may have seen before."""
    words = (",".join(modules), *arguments)
    with running(WITHOUT + FORGOTTEN + code, *words, environment={"COLUMNS": "300"}) as process:
        return Done(process.ended(), process.printed, process.errors)


def python_without(modules, code, *arguments):
    """A fresh Python that has none of these modules."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "300"}
    command = [sys.executable, "-c", WITHOUT + code, ",".join(modules), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)


def modules_of(*extras):
    return sorted({name for extra in extras for name in EXTRAS[extra]})


def brings(extra):
    """The distributions that an extra installs, those of extras inside it too."""
    names = set()
    for line in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == "softprompt":
            names |= {name for inner in requirement.extras for name in brings(inner)}
        else:
            names.add(canonicalize_name(requirement.name))
    return names


@pytest.fixture(scope="module")
def installed():
    """Every module's distributions."""
    return packages_distributions()


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_its_modules(extra, installed):
    for module in EXTRAS[extra]:
        # what is not installed here is called as it is imported
        owners = {canonicalize_name(name) for name in installed.get(module, [module])}
        assert owners & brings(extra), module


def test_every_import_is_of_the_core_or_of_an_extra(installed):
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    # matplotlib brings cycler; bitsandbytes is there where a model was loaded with it
    known = {*modules_of(*EXTRAS), "softprompt", "cycler", "bitsandbytes"}
    unknown = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for module in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - known:
                if not core & {canonicalize_name(name) for name in installed.get(module, [])}:
                    unknown.add((module, path.name))
    assert not unknown


def test_a_prompt_is_made_saved_loaded_and_used_with_the_core_alone(tiny_folder, tmp_path):
    done = python_without(modules_of(*EXTRAS), CORE, tiny_folder, tmp_path / "prompt")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "used"


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        (["typer"], "error: the command softprompt: got no module 'typer', expected the extra 'train'."),
        (["accelerate"], "error: training: got no module 'accelerate', expected the extra 'train'."),
        (["sacrebleu"], "error: metric bleu: got no module 'sacrebleu', expected the extra 'metrics'."),
    ],
)
def test_the_command_names_what_a_run_lacks_before_it_begins(absent, message, recipe):
    done = forked_without(absent, COMMAND, "train", recipe)
    assert done.returncode == 1
    extra = "metrics" if absent == ["sacrebleu"] else "train"
    assert done.stderr.strip() == f'{message} Install it: pip install "softprompt[{extra}]".'
    assert not list((recipe.parent / "runs").rglob("prompt.json"))


def test_a_metric_and_a_report_name_their_libraries_in_python():
    code = """
from softprompt import SoftpromptError, metrics
print(metrics.score(["accuracy"], ["a"], ["a"], task="classification", labels=["a", "b"]).values)
try:
    metrics.score(["f1"], ["a"], ["a"], task="classification", labels=["a", "b"])
except SoftpromptError as error:
    print(error)
try:
    from softprompt.studies import compose_report
except SoftpromptError as error:
    print(error)
"""
    done = forked_without(["jinja2", "pyarrow", "sklearn"], code)
    assert done.stdout.splitlines() == [
        "{'accuracy': 100.0}",
        "metric f1: got no module 'sklearn', expected the extra 'metrics'. "
        'Install it: pip install "softprompt[metrics]".',
        "a study's report: got no modules 'jinja2', 'pyarrow' and 'sklearn', expected the extra 'studies'. "
        'Install them: pip install "softprompt[studies]".',
    ], done.stderr


def test_a_run_without_plots_says_so_and_ends_well(recipe):
    done = forked_without(EXTRAS["plots"], COMMAND, "train", recipe)
    assert done.returncode == 0, done.stderr
    line = 'no curves are drawn without matplotlib: pip install "softprompt[plots]"'
    assert len(re.findall(re.escape(line), done.stdout + done.stderr)) == 1
    run = recipe.parent / "runs" / "small"
    assert (run / "result.json").exists() and not list(run.glob("curves.*"))
