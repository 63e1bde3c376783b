"""The package as a whole: light to import, complete, and pinned."""

import json
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import softprompt

ROOT = Path(__file__).parent.parent
HEAVY = [
    "torch",
    "transformers",
    "accelerate",
    "matplotlib",
    "typer",
    "rich",
    "pydantic",
    "nltk",
    "sacrebleu",
]


def loaded_after(statement: str) -> set[str]:
    show = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        f"import sys; sys.path[:0] = {sys.path!r}; {statement}; {show}",
    ]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    return set(json.loads(done.stdout))


def test_import_is_light():
    modules = loaded_after("import softprompt")
    assert "softprompt" in modules
    assert modules.isdisjoint(HEAVY)


def test_reading_a_recipe_is_light():
    recipe = '{"data": {"format": "e2e"}, "training": {"steps": 1}, "method": {"name": "lora"}}'
    modules = loaded_after(f"from softprompt.config import parse_run; parse_run({recipe})")
    assert "softprompt.prompts.methods.adapters" in modules
    assert modules.isdisjoint({"torch", "transformers", "accelerate", "matplotlib"})


def test_a_node_of_a_cluster_is_light():
    """Its runs are in a process of their own, which alone imports what trains."""
    modules = loaded_after("import softprompt.studies.running.executors")
    assert modules.isdisjoint({"torch", "transformers", "accelerate", "matplotlib"})


@pytest.mark.parametrize("name", sorted(softprompt.__all__))
def test_every_public_name_is_there(name):
    assert getattr(softprompt, name) is not None
    assert name in dir(softprompt)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="No softprompt attribute prefix_tunning"):
        _ = softprompt.prefix_tunning  # pyright: ignore[reportAttributeAccessIssue]


def test_types_are_published():
    assert resources.files("softprompt").joinpath("py.typed").is_file()


def test_constraints_pin_every_dependency():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert pins["torch"] == "2.13.0"
    # names and versions only: no host, no path, no build of one platform
    assert all(re.fullmatch(r"[\w.-]+", name) for name in pins)
    assert all(re.fullmatch(r"\d+(\.\d+)*(\.post\d+)?", version) for version in pins.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    optional = project["optional-dependencies"]
    tested = (
        "train",
        "metrics",
        "plots",
        "studies",
        "docs",
        "notebooks",
        "languages",
        "tables",
        "dev",
        "ecosystem",
    )
    for line in project["dependencies"] + [line for extra in tested for line in optional[extra]]:
        requirement = Requirement(line)
        if requirement.name == "softprompt":  # an extra that includes others
            assert requirement.extras <= {*tested, "all"}
            continue
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), line


def test_the_structure_page_names_files_that_are_there():
    page = (ROOT / "docs" / "structure.md").read_text(encoding="utf-8")
    paths = (*ROOT.glob("*"), *ROOT.glob("[stbr]*/**/*"))
    there = [path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts]
    named = re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", page)
    assert len(named) > 50
    missing = [
        name for name in named if not any(f"/{path}".endswith(f"/{name.rstrip('/')}") for path in there)
    ]
    assert missing == []
