"""What is built for a package index, and the files beside it that name version, links and dependencies."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from softprompt import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def metadata(tmp_path_factory) -> Message:
    """Of the wheel, made from copies of the few files that it depends on."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "made").mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "src/softprompt/__init__.py"):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, place)
    code = "import setuptools.build_meta as b; print(b.prepare_metadata_for_build_wheel('made'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("made/*.dist-info/METADATA")
    return message_from_string(made.read_text(encoding="utf-8"))


def test_the_metadata_names_the_projects_pages(metadata):
    assert metadata["Version"] == __version__
    labels = [url.partition(",")[0] for url in metadata.get_all("Project-URL") or []]
    assert labels == ["Homepage", "Documentation", "Source", "Issues", "Changelog"]
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_description_has_no_link_that_needs_a_checkout(metadata):
    import re

    text = str(metadata.get_payload())
    assert metadata["Description-Content-Type"] == "text/markdown"
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'\s(?:src|srcset)="([^"]+)"', text)
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    page = "https://github.com/softprompt/softprompt/blob/main/docs/ecosystem.md"
    assert page in links
    assert all((ROOT / link.partition("/main/")[2]).exists() for link in links if "/main/" in link)


def test_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Source"]
    papers = {reference["url"].rpartition("/")[2] for reference in citation["references"]}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(papers) == 6
    assert all(number in readme for number in papers)


CONDA_NAMES = {"torch": "pytorch"}
"""Packages that conda-forge has under another name."""


def test_conda_recipe_has_the_dependencies_of_the_core_and_the_command():
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["context"]["version"] == __version__
    wanted = {"python": PROJECT["requires-python"]}
    for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["train"]:
        one = Requirement(line)
        wanted[canonicalize_name(CONDA_NAMES.get(one.name, one.name))] = str(one.specifier)
    given = dict(line.split(" ") for line in recipe["requirements"]["run"])
    assert {canonicalize_name(name): bound for name, bound in given.items()} == wanted


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.name)
def test_workflows_run_targets_and_paths_that_are_there(path):
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in map(str.split, lines):
        if words[0] == "make":
            assert f"\n{words[1]}:" in makefile
        for word in words:
            if word.startswith(("tests/", "tools/")):
                assert (ROOT / word).exists(), word


def test_a_tag_of_another_version_is_refused():
    command = [sys.executable, str(ROOT / "tools" / "package.py"), "--tag", "v999.0"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert done.stderr == f"the tag is v999.0, the version {__version__}\n"


@pytest.mark.slow
def test_the_wheel_works_without_a_checkout(tmp_path):
    """Built and checked as a release is; its commands run in an environment of its own."""
    pytest.importorskip("build")
    pytest.importorskip("twine")
    # a copy, so that no test that runs meanwhile sees what a build leaves beside the sources
    source = tmp_path / "source"
    leave = shutil.ignore_patterns(
        ".git", ".venv", "runs", "shared", "site", "dist", "build", "__pycache__", "*.egg-info"
    )
    shutil.copytree(ROOT, source, ignore=leave)
    build = [sys.executable, "tools/package.py", "--no-isolation", "--output", str(tmp_path / "dist")]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    assert len(list((tmp_path / "dist").glob("*.tar.gz"))) == 1
    (wheel,) = (tmp_path / "dist").glob("*.whl")

    venv.create(tmp_path / "env", with_pip=True)
    scripts = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    # the libraries that it needs are those of this environment, behind the wheel on the path
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    pure = subprocess.run(
        [python, "-c", where], check=True, capture_output=True, encoding="utf-8"
    ).stdout.strip()
    others = [path for path in sys.path if path.endswith("site-packages")]
    (Path(pure) / "libraries.pth").write_text("\n".join(others), encoding="utf-8")

    away = tmp_path / "away"
    away.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["SOFTPROMPT_DATA"] = str(away / "data")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(scripts / "softprompt"), *arguments]
        return subprocess.run(command, cwd=away, env=environment, capture_output=True, encoding="utf-8")

    inside = subprocess.run(
        [python, "-c", "import softprompt; print(softprompt.__file__)"],
        cwd=away, env=environment, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert str(tmp_path / "env") in inside.stdout
    assert run("--version").stdout == f"softprompt {__version__}\n"
    assert "studies/rte-length" in run("recipes", "list").stdout
    assert run("recipes", "copy", "rte-length").returncode == 0
    assert (away / "recipes" / "rte-p-tuning-v2.yaml").is_file()
    found = run("train", "recipes/e2e-lowdata-prefix.yaml")
    assert "used is the one that comes with softprompt" in found.stderr
    assert "SOFTPROMPT_DATA" in found.stderr
    assert found.returncode == 1
    assert "prefix-length" in run("papers", "show", "prefix-tuning").stdout
