"""Two files that change as one: the rename of the card is the moment at which both are replaced.

A folder may hold anything else; only the names in this module are ever written, renamed or removed.
"""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from softprompt.files.atomic import replace, sync_folder, write_atomically
from softprompt.files.folder_lock import locked

_OURS = re.compile(r"\.prompt-[0-9a-f]{64}\.safetensors|\.prompt\.(json|safetensors)\.[0-9a-f]{16}\.writing")


def staged_name(digest: str) -> str:
    """The name under which tensors wait beside older ones, until the card with their digest is written."""
    return f".prompt-{digest}.safetensors"


def commit(folder: Path, tensors: str, payload: bytes, digest: str, card: str, body: bytes) -> None:
    """Put both files into a folder that exists.

    Until the card is renamed, the folder holds the older prompt; from then on the new one, whose tensors have
    the name `staged_name` until they replace the older tensors. Links are followed.

    Args:
        folder: the folder.
        tensors: name of the file of tensors.
        payload: new content of the tensors.
        digest: SHA-256 of the tensors' content, which is in the card.
        card: name of the card.
        body: new content of the card.

    Raises:
        OSError: no room, or no right to write; the older prompt stays.
        PromptError: another process has been writing there for a minute.
    """
    staged = folder / staged_name(digest)
    with locked(folder) as alone:
        existed, done = staged.exists(), False  # a killed writer may have staged the same tensors
        try:
            _put(staged, payload)
            _put(folder / card, body)
            done = True
        finally:
            if not done and not existed:
                with suppress(OSError):
                    staged.unlink(missing_ok=True)
        # The prompt is saved. If this fails, readers find the tensors under their staged name.
        with suppress(OSError):
            _settle(staged, folder / tensors, payload)
            if alone:
                _sweep(folder, keep=staged.name)
            sync_folder(folder)


def _put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, where a link of that name points."""
    real = Path(os.path.realpath(path))
    temporary = real.with_name(f".prompt{path.suffix}.{secrets.token_hex(8)}.writing")
    write_atomically(real, content, temporary)


def _settle(staged: Path, path: Path, content: bytes) -> None:
    """Give staged tensors, which the card already names, their own name."""
    if path.is_symlink():
        _put(path, content)
        staged.unlink()
    else:
        replace(staged, path)


def _sweep(folder: Path, keep: str) -> None:
    """Remove what a killed writer left."""
    for path in folder.iterdir():
        if path.name != keep and _OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)
