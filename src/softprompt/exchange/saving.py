"""Writing a file of another library's form."""

from pathlib import Path

from softprompt.errors import PromptError, system_says
from softprompt.files import write_atomically
from softprompt.untrusted import at_home


def saved(path: Path, content: str | bytes) -> Path:
    """Write a file whole or not at all, and the folders above it where there are none; returns its path.

    Raises:
        PromptError: the disk is full, or the place cannot be written.
    """
    path = at_home(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise PromptError(str(path), f"{system_says(error)} while saving", "a place to write to") from None
    return path
