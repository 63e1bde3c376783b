"""A Python of its own, which has nothing imported yet and sees further packages."""

import os
import subprocess
import sys
from pathlib import Path

_SOURCE = Path(__file__).parents[2] / "src"


def python(folder: Path, code: str, *arguments: object) -> str:
    """What a fresh Python prints that has a folder's packages; it must end well."""
    path = os.pathsep.join([str(folder), str(_SOURCE)])
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
