"""What the site shows beside the pages of docs/: pages made from the code, and tables put into pages.

mkdocs calls the functions whose names begin with `on_` (mkdocs.yml, `hooks`).

Pages made here: the reference of Python's names, of the command line and of settings; CHANGELOG.md,
CONTRIBUTING.md, SECURITY.md and README.zh.md, which lie beside docs/. In a page of docs/ these comments, on a
line of their own, become

    <!-- settings: METHOD -->            the table of a method's settings
    <!-- source: METHOD -->              what its docstring says of the paper and of deviations
    <!-- table: results/PAGE.md#NAME --> the first table behind a heading of a page of results
"""

import ast
import json
import os
import re
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SOURCE = "https://github.com/softprompt/softprompt/blob/main/"

# Pages made of files that lie beside docs/, by their place on the site.
BESIDE = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "readme.zh.md": "README.zh.md",
}

_MARK = re.compile(r"^<!-- (settings|source|table): (\S+) -->$", re.MULTILINE)
_LINK = re.compile(r"(\]\(|\s(?:src|srcset|href)=\")(?![a-z]+:|#)([^)\s\"]+)")
_ADDRESS = re.compile(r"(\s(?:src|srcset)=\")(?![a-z]+:)([^\"]+)")

# A block that is a file: ```csv desk.csv
_FILE = re.compile(r"^( *```+\w+) ([\w.-]+\.\w+)$", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here."""
    made = {
        "reference/python.md": python_reference,
        "reference/cli.md": command_reference,
        "reference/settings.md": settings_reference,
    }
    for place, make in made.items():
        files.append(File.generated(config, place, content=make()))
    for place, name in BESIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=_from_beside(text)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Put in tables, and lead links to files outside docs/ to the repository."""
    here = Path(page.file.src_uri).parent
    fill = {"settings": method_settings, "source": method_source, "table": table_of}
    markdown = _FILE.sub(r'\1 title="\2"', markdown)
    text = _MARK.sub(lambda mark: fill[mark[1]](mark[2], here), markdown)
    text = _LINK.sub(lambda link: link[1] + _outside(link[2], here), text)
    # mkdocs moves the addresses of Markdown, and not those of HTML: page.md becomes page/index.html
    return text if page.file.name == "index" else _ADDRESS.sub(r"\1../\2", text)


def _from_beside(text: str) -> str:
    """A page of a file beside docs/: links into docs/ are links of the site, others go to the repository."""

    def moved(link: re.Match[str]) -> str:
        place = link[2]
        path, _, anchor = place.partition("#")
        for made, name in BESIDE.items():
            if path == name:
                return link[1] + made + (f"#{anchor}" if anchor else "")
        if path == "README.md":
            return link[1] + "index.md"
        return link[1] + (place.removeprefix("docs/") if place.startswith("docs/") else SOURCE + place)

    return _LINK.sub(moved, text)


def _outside(place: str, here: Path) -> str:
    """A link as it is, or to the repository where it leaves docs/."""
    if not place.startswith("../"):
        return place
    path, _, anchor = place.partition("#")
    target = (DOCS / here / path).resolve()
    if target.is_relative_to(DOCS):
        return place
    made = {name: page for page, name in BESIDE.items()} | {"README.md": "index.md"}
    name = target.relative_to(ROOT).as_posix()
    behind = f"#{anchor}" if anchor else ""
    if name in made:
        return "../" * len(here.parts) + made[name] + behind
    assert target.exists(), f"{here}: a link to {name}, which is not there"
    return SOURCE + name + behind


# Tables of settings


def settings_table(model: type[BaseModel], without: tuple[str, ...] = ()) -> str:
    """The fields of a class of settings: name, values, default, and what its docstring says."""
    lines = ["| setting | values | default | |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        if name in without:
            continue
        default = "" if field.is_required() or field.default is PydanticUndefined else _value(field.default)
        text = " ".join((field.description or "").split()).replace("|", "\\|")
        lines.append(f"| `{name}` | {kind_of(field.annotation)} | {default} | {text} |")
    return "\n".join(lines)


def kind_of(annotation: Any) -> str:
    """What values a setting takes, in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind_of(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{_value(one).strip('`')}`" for one in arguments)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind_of(one) for one in arguments if one is not type(None)]
        return " or ".join(dict.fromkeys([*kinds, *(["`null`"] if type(None) in arguments else [])]))
    if origin in (list, tuple) or annotation in (list, tuple):
        return f"list of {kind_of(arguments[0])}" if arguments else "list"
    if origin is dict or annotation is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "settings"
    plain = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`", Path: "path"}
    return plain.get(annotation, "any")


def _value(value: Any) -> str:
    """A default as YAML writes it."""
    if isinstance(value, BaseModel):
        return ""
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else str(value)
    return f"`{text}`" if text == text.strip() != "" else f"`{json.dumps(text)}`"


def method_settings(name: str, here: Path) -> str:
    """The table of a method's settings in a recipe."""
    from softprompt.prompts import METHODS

    return settings_table(METHODS[name].settings, without=("name",))


def method_source(name: str, here: Path) -> str:
    """The paragraph of a method's docstring that names the paper and the deviations from it."""
    import softprompt

    parts = (getattr(softprompt, name).__doc__ or "").split("\n\n")
    (source,) = (part for part in parts if part.strip().startswith("Source: "))
    return "> " + " ".join(source.split())


# Tables of results


def table_of(place: str, here: Path) -> str:
    """The first table behind a heading of a page of results."""
    page, _, anchor = place.partition("#")
    lines = iter((DOCS / page).read_text(encoding="utf-8").splitlines())
    if anchor:  # else the table comes before the first heading below the title
        assert any(_slug(line) == anchor for line in lines if line.startswith("#")), f"no {place}"
    table = list(_first_table(lines))
    assert table, f"no table behind {place}"
    return "\n".join(table)


def _first_table(lines: Iterator[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        if line.startswith("|"):
            inside = True
            yield line
        elif inside or line.startswith("##"):
            return


def _slug(heading: str) -> str:
    from markdown.extensions.toc import slugify

    return slugify(heading.lstrip("# "), "-")


# The reference


_ROOMS = {
    "backbones": "Backbones",
    "prompts": "Prompts, methods and heads",
    "errors": "Errors",
    "config": "Settings",
    "tasks": "Tasks of other packages",
    "metrics": "Metrics of other packages",
    "data": "Data formats of other packages",
}
"""A heading for each room that offers public names; a new room stands under its own name."""


def public_names() -> dict[str, list[str]]:
    """The public names by the room that they come from, as the stub of the package has them."""
    stub = ast.parse((ROOT / "src" / "softprompt" / "__init__.pyi").read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.setdefault(node.module, []).extend(alias.name for alias in node.names)
    return found


def python_reference() -> str:
    """A page with every public name, from its signature and docstring."""
    import softprompt

    lines = ["# Python", "", "Everything that `softprompt` offers by name.", ""]
    rooms = public_names()
    for room in [
        *(room for room in _ROOMS if room in rooms),
        *(room for room in rooms if room not in _ROOMS),
    ]:
        lines += [f"## {_ROOMS.get(room, room)}", ""]
        for name in sorted(rooms[room], key=str.lower):
            made = getattr(softprompt, name)
            # where it is defined: a method's module has the method's name, and would be taken for it
            place = f"{made.__module__}.{made.__qualname__}"
            lines += [f'<a id="softprompt.{name}"></a>', "", f"::: {place}", ""]
    return "\n".join(lines)


@cache
def command_reference() -> str:
    """A page with every command, from the command line itself."""
    command = [sys.executable, "-m", "typer", "softprompt.cli.app", "utils", "docs", "--name", "softprompt"]
    # of these sources, whatever is installed; a pipe of UTF-8 on every system
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    text = re.sub(r"\[bold\](.*?)\[/bold\]", r"`\1`", done.stdout)
    text = text.replace("# `softprompt`", "# Command line", 1)
    # a command that is kept for those who know its old name
    text = re.sub(r"^\* `rescore`.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^## `softprompt rescore`\n.*?(?=^## )", "", text, flags=re.MULTILINE | re.DOTALL)


@cache
def settings_reference() -> str:
    """A page with every setting of a recipe and of a study, from the classes that check them."""
    from softprompt.config import MixtureSettings, RunSettings
    from softprompt.prompts import METHODS
    from softprompt.studies.definition.settings import StudySettings
    from softprompt.tasks import TASKS

    lines = [
        "# Settings",
        "",
        "A recipe is one YAML file with these sections. `--set section.setting=value` changes one for a run.",
        "",
        "## A run",
        "",
        settings_table(RunSettings, without=("backbone", "method", "data", "task", "decoding", "training")),
    ]
    for section in ("backbone", "data", "decoding", "training"):
        model = RunSettings.model_fields[section].annotation
        assert model is not None
        lines += ["", f"## {section}", "", settings_table(model)]
    lines += ["", "## task", "", "The settings of each `task.name`."]
    for name in TASKS:
        lines += ["", f"### {name}", "", settings_table(TASKS[name].settings, without=("name",))]
    lines += ["", "## method", "", "The settings of each `method.name`."]
    for name in METHODS:
        lines += ["", f"### {name} {{ #method-{name} }}", "", method_settings(name, Path())]
    lines += ["", "## Several tasks in one run", "", settings_table(MixtureSettings)]
    lines += ["", "## A study", "", settings_table(StudySettings)]
    return "\n".join(lines) + "\n"
