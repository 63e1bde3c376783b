"""Folders with `prompt.safetensors` and `prompt.json`, written whole or not at all.

Reading never unpickles and never imports what a file names.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from softprompt.errors import PromptError, system_says
from softprompt.store.card import FORMAT_VERSION, PromptCard

TENSORS = "prompt.safetensors"
CARD = "prompt.json"


def write(folder: Path | str, tensors: Mapping[str, Tensor], card: PromptCard) -> Path:
    """Write a prompt folder atomically; an older prompt there stays until the new one is complete.

    Raises:
        PromptError: the disk is full or the place cannot be written, or it holds something else.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / CARD).exists() and any(folder.iterdir()):
        raise PromptError(
            str(folder),
            "a folder with other files",
            "an empty or new folder, or an older prompt",
            "choose another folder",
        )
    staged = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        payload = _serialise(tensors)
        _write(staged / TENSORS, payload)
        body = {"sha256": hashlib.sha256(payload).hexdigest(), **card.model_dump()}
        _write(staged / CARD, (json.dumps(body, indent=2) + "\n").encode())
        _swap(staged, folder)
    except OSError as error:
        raise PromptError(
            str(folder),
            f"{system_says(error)} while saving",
            "room to write",
            "free some space and save again (an older prompt is kept)",
        ) from error
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
    return folder


def read(folder: Path | str) -> tuple[dict[str, Tensor], PromptCard]:
    """Read a prompt folder and check that it is whole.

    Raises:
        PromptError: missing, truncated, tampered with, or of a newer format.
    """
    from safetensors.torch import load

    card, digest = _read_card(Path(folder))
    path = Path(folder) / TENSORS
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise PromptError(str(path), system_says(error), "the tensors of a prompt") from None
    if hashlib.sha256(payload).hexdigest() != digest:
        raise PromptError(
            str(path),
            f"{len(payload)} bytes that do not match the card",
            "the file as it was saved",
            "copy the file again",
        )
    return load(payload), card


def read_card(folder: Path | str) -> PromptCard:
    """Only the card of a prompt folder."""
    return _read_card(Path(folder))[0]


def _read_card(folder: Path) -> tuple[PromptCard, str]:
    path = folder / CARD
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PromptError(
            str(path), system_says(error), "a prompt folder (prompt.safetensors and prompt.json)"
        ) from None
    except ValueError as error:
        raise PromptError(
            str(path), f"broken JSON ({error})", "a prompt's card", "copy the file again"
        ) from None
    version = body.get("format_version") if isinstance(body, dict) else None
    if not isinstance(version, int):
        raise PromptError(str(path), "no format_version", "a prompt's card")
    if version > FORMAT_VERSION:
        raise PromptError(
            str(path),
            f"format {version}",
            f"format {FORMAT_VERSION} or older",
            "install a newer softprompt to read it",
        )
    digest = body.pop("sha256", "")
    try:
        return PromptCard.model_validate(body), digest
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PromptError(f"{path}: {where}", repr(first["input"])[:80], first["msg"].lower()) from None


def _serialise(tensors: Mapping[str, Tensor]) -> bytes:
    from safetensors.torch import save

    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _write(path: Path, payload: bytes) -> None:
    with open(path, "wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())


def _swap(staged: Path, folder: Path) -> None:
    # A folder cannot replace a non-empty one in one call, so the old one steps aside first.
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent)) / "prompt"
        os.replace(folder, old)
        try:
            os.replace(staged, folder)
        except OSError:
            os.replace(old, folder)
            raise
        shutil.rmtree(old.parent, ignore_errors=True)
    else:
        os.replace(staged, folder)
    os.chmod(folder, 0o755)  # mkdtemp makes private folders
