"""The reports in docs/results are what their own commands make of the results tables beside them."""

import re
import runpy
from pathlib import Path

import pytest
from typer.testing import CliRunner

from softprompt.cli.app import app
from softprompt.plotting import Figure

ROOT = Path(__file__).parents[2]
WHOLE = "wnut17-depth"
"""Git keeps its page, tables in LaTeX and all figures too; those of the others `make reports` makes."""

COMMAND_OF = runpy.run_path(str(ROOT / "tools" / "docs.py"))["command_of"]

KEPT = sorted((ROOT / "docs" / "results").glob("*/report.md"))


def test_there_are_some():
    assert len(KEPT) >= 4


@pytest.mark.parametrize("report", KEPT, ids=lambda path: path.parent.name)
def test_its_command_makes_it_again(report, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    if report.parent.name != WHOLE:  # drawing is nine tenths of the time, and one form shows that it works
        monkeypatch.setattr(Figure, "dark", property(lambda figure: figure.light))
        monkeypatch.setattr(Figure, "png", property(lambda figure: figure.light.encode()))
    kept = report.read_text(encoding="utf-8")
    words = COMMAND_OF(report)
    assert "--from" in words and words[-2:] == ["--output", f"docs/results/{report.parent.name}"]
    made = CliRunner().invoke(app, [*words[:-1], str(tmp_path)])
    assert made.exit_code == 0, made.output
    # The command differs in its folder alone; pictures in what versions of libraries draw.
    again = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert again.replace(f"--output {tmp_path.name}", f"--output {words[-1]}") == kept
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    kept_names = {path.relative_to(report.parent).as_posix() for path in report.parent.rglob("*.*")}
    pictures = set(re.findall(r'(?:src|srcset)="([^"]+)"', kept))
    assert pictures <= kept_names <= names
    if report.parent.name == WHOLE:
        assert kept_names == names
        for table in (tmp_path / "tables").iterdir():
            assert table.read_bytes() == (report.parent / "tables" / table.name).read_bytes()
