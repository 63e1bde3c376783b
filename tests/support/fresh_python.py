"""A process that has nothing of softprompt imported yet and sees further packages."""

from pathlib import Path

from support.processes import running

_BEFORE = """
import sys, warnings
warnings.simplefilter("error")
sys.path.insert(0, sys.argv.pop(1))
"""


def python(folder: Path, code: str, *arguments: object) -> str:
    """What code prints that has a folder's packages; it must end well."""
    with running(_BEFORE + code, folder, *arguments, environment={"COLUMNS": "200"}) as process:
        assert process.ended() == 0, process.errors
        return process.printed
