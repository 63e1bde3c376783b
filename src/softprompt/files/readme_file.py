"""README.md beside a prompt: whether softprompt made it, so that nothing which a person wrote is replaced."""

import hashlib
import re
from pathlib import Path

from softprompt.errors import PromptError, system_says
from softprompt.files.atomic import write_atomically
from softprompt.untrusted import Unreadable, decode, read_bytes

MODEL_CARD = "README.md"

_MADE = re.compile(r"\n<!-- made by softprompt, sha256 ([0-9a-f]{64}) -->\n?\Z")

_MOST_README = 10_000_000


def marked(text: str) -> str:
    """A text with a last line by which `is_made` knows it again."""
    return f"{text}\n<!-- made by softprompt, sha256 {_digest(text)} -->\n"


def is_made(text: str) -> bool:
    """Whether a README is one that `marked` marked and nobody has changed."""
    text = text.replace("\r\n", "\n")
    made = _MADE.search(text)
    return made is not None and _digest(text[: made.start()]) == made[1]


def write_model_card(folder: Path, text: str) -> None:
    """Write a README.md into a folder; one that `marked` marked before is replaced.

    Raises:
        PromptError: a README.md that somebody wrote or changed, or a place that cannot be written.
    """
    check_no_other(folder)
    try:
        write_atomically(folder / MODEL_CARD, text)
    except OSError as error:
        raise PromptError(str(folder / MODEL_CARD), system_says(error), "room to write") from error


def check_no_other(folder: Path) -> None:
    """Refuse a folder whose README.md somebody wrote or changed.

    Raises:
        PromptError: there is one.
    """
    path = folder / MODEL_CARD
    if (path.exists() or path.is_symlink()) and (path.is_symlink() or not is_made(read_readme(path) or "")):
        raise PromptError(
            str(path),
            "a README.md that softprompt did not write, or that was changed since",
            "none, or one as softprompt wrote it",
            "move it away, or save without card=True",
        )


def read_readme(path: Path) -> str | None:
    """The text of a README.md; None where it cannot be read."""
    try:
        return decode(read_bytes(path, _MOST_README))
    except (OSError, Unreadable):
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
