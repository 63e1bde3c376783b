"""The documentation site: its navigation, the pages made from the code, its links."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import softprompt
from softprompt.prompts import METHODS
from support.browser import Browser, missing
from support.doc_blocks import ROOT

sys.path.insert(0, str(ROOT / "tools"))
build_site = pytest.importorskip("build_site")
sys.path.pop(0)

SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site_pages():
    pytest.importorskip("mkdocs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield importlib.import_module("site_pages")


def named(nav) -> list[str]:
    """The pages of a navigation."""
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in named(part)]


def test_every_page_is_in_the_navigation_once(site_pages):
    made = {"reference/python.md", "reference/cli.md", "reference/settings.md", *site_pages.BESIDE}
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    reports = {page for page in pages if page.startswith("results/") and page.endswith("/report.md")}
    nav = named(SETTINGS["nav"])
    assert sorted(nav) == sorted((pages - reports) | made)


def test_nothing_is_fetched_when_the_site_is_built_or_read():
    assert SETTINGS["strict"] is True
    assert SETTINGS["theme"]["font"] is False
    assert not SETTINGS.get("extra_javascript")
    # the theme's own script asks the host of a repository for its stars and releases
    assert "repo_url" not in SETTINGS
    assert all(not style.startswith("http") for style in SETTINGS["extra_css"])


def test_the_reference_has_every_public_name(site_pages):
    text = site_pages.python_reference()
    assert all(f'<a id="softprompt.{name}"></a>' in text for name in softprompt.__all__)
    assert text.count("\n::: softprompt.") == len(softprompt.__all__)
    assert "\n::: softprompt.prompts.methods.prefix_tuning.prefix_tuning\n" in text


def test_the_reference_has_every_command(site_pages):
    import typer.main

    from softprompt.cli.app import app

    text = site_pages.command_reference()
    command: Any = typer.main.get_command(app)
    wanted = [name for name, one in command.commands.items() if not one.hidden]
    wanted += [
        f"{name} {below}" for name in wanted for below in getattr(command.commands[name], "commands", {})
    ]
    assert sorted(re.findall(r"^#+ `softprompt (.*)`$", text, re.MULTILINE)) == sorted(wanted)
    assert "softprompt rescore" not in text and "[bold]" not in text


@pytest.mark.parametrize("path", sorted((ROOT / "docs/methods").glob("*-*.md")), ids=lambda path: path.stem)
def test_a_page_of_a_method(site_pages, path):
    """Paper, formula, settings, deviations, a result and a recipe; all tables are found."""
    text = path.read_text(encoding="utf-8")
    name = path.stem.replace("-", "_").replace("null_prompts", "null_prompt")
    assert name in METHODS
    assert "arxiv.org/abs/" in text and 'class="formula"' in text
    marks = {mark[1]: mark[2] for mark in site_pages._MARK.finditer(text)}
    assert set(marks) == {"settings", "source", "table"}
    table = site_pages.method_settings(marks["settings"], Path())
    assert all(f"| `{field}` |" in table for field in METHODS[name].settings.model_fields if field != "name")
    assert site_pages.method_source(marks["source"], Path()).startswith("> Source: ")
    assert site_pages.table_of(marks["table"], Path()).count("\n") > 2
    assert f"softprompt.{name}" in text


def test_the_settings_are_tables_of_every_section(site_pages):
    text = site_pages.settings_reference()
    for section in ("backbone", "data", "decoding", "training", "task", "method"):
        assert f"\n## {section}\n" in text
    for line in text.splitlines():
        assert line.count(" | ") == 3 or not line.startswith("| `"), line


def test_values_are_shown_as_yaml_writes_them(site_pages):
    from typing import Annotated, Literal

    kind = site_pages.kind_of
    assert kind(int | None) == "whole number or `null`"
    assert kind(Literal["lstm", "mlp"] | None) == "`lstm`, `mlp` or `null`"
    assert kind(list[Annotated[str, "any"]]) == "list of text"
    assert site_pages._value(False) == "`false`"
    assert site_pages._value(None) == "`null`"
    assert site_pages._value("\n") == '`"\\n"`'


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "index.html").write_text('<h1 id="top">x</h1>', encoding="utf-8")
    lines = [
        '<a href="there/">x</a>', '<a href="there/#top">x</a>', '<a href="https://elsewhere.example/">x</a>',
        '<a href="nowhere/">x</a>', '<a href="there/#bottom">x</a>', '<img src="none.png">',
        '<script src="https://elsewhere.example/x.js"></script>',
    ]  # fmt: skip
    (tmp_path / "index.html").write_text("\n".join(lines), encoding="utf-8")
    assert sorted(build_site.broken(tmp_path)) == [
        "index.html: loads https://elsewhere.example/x.js",
        "index.html: no anchor there/#bottom",
        "index.html: no none.png",
        "index.html: no nowhere/",
    ]


@pytest.mark.slow
def test_the_site_builds_and_its_links_lead_somewhere(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, str(ROOT / "tools" / "build_site.py"), "--output", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "0 broken links" in done.stdout
    python = (tmp_path / "site" / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    assert all(f'id="softprompt.{name}"' in python for name in softprompt.__all__)
    if not missing():
        read_by_a_browser(tmp_path)


def read_by_a_browser(folder: Path) -> None:
    """A reader's browser asks for the site's own files alone, and shows the colours of the system."""
    browser = Browser(folder / "profile")
    try:
        for dark in (False, True, False):
            page = browser.open((folder / "site" / "index.html").as_uri(), 1280, dark)
            assert not [address for address in page.asked if not address.startswith(("file:", "data:"))]
            assert page.evaluate("document.body.dataset.mdColorScheme") == ("slate" if dark else "default")
    finally:
        browser.close()
