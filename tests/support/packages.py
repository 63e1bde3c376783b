"""Small packages that declare entry points, as pip would have installed them, and processes that see them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_SOURCE = Path(__file__).parents[2] / "src"


def install(folder: Path, name: str, source: str, group: str, entries: Sequence[str]) -> None:
    """A package of one module in a folder.

    Args:
        folder: goes on the path of `python`.
        name: of the package; its module has underscores.
        source: of the module.
        group: of entry points.
        entries: their names; each leads to what the module has by that name.
    """
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    lines = [f"[{group}]", *(f"{entry} = {module}:{entry}" for entry in entries)]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def python(folder: Path, code: str, *arguments: object) -> str:
    """What a fresh Python prints that has a folder's packages; it must end well."""
    path = os.pathsep.join([str(folder), str(_SOURCE)])
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
