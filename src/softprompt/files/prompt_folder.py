"""Prompt folders, with `prompt.safetensors` and `prompt.json`: writing, reading, and what is refused.

A folder may hold anything beside the two. Reading never unpickles and never imports what a file names.
"""

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from softprompt.errors import PromptError, system_says
from softprompt.files import commit, tensor_kinds
from softprompt.files.card_text import card_content, parse_card
from softprompt.files.prompt_card import FORMAT_VERSION, BackboneRecord, PromptCard

TENSORS = "prompt.safetensors"
CARD = "prompt.json"
SAMPLES = "backbone.samples"
"""The tensor that holds a `BackboneRecord`'s samples, `[tensor, 2 + number]`."""

_DIGEST = re.compile("[0-9a-f]{64}")


def write_prompt(folder: Path | str, tensors: Mapping[str, Tensor], card: PromptCard) -> Path:
    """Write a prompt into a folder, beside whatever else is there.

    An older prompt stays until the new one is whole.

    Args:
        folder: made where it does not exist; `~` is the home folder, and links are followed.
        tensors: by name.
        card: written as of this release's format.

    Raises:
        PromptError: the disk is full, or the place cannot be written.
    """
    folder = expanded(folder)
    card = card.model_copy(update={"format_version": FORMAT_VERSION})
    if card.backbone.record is not None and card.backbone.record.samples:
        tensors = {**tensors, SAMPLES: torch.tensor(card.backbone.record.samples, dtype=torch.float32)}
    payload = _serialise(tensors)
    digest = hashlib.sha256(payload).hexdigest()
    text = card_content(card, digest, folder)
    _check_place(folder)
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        commit.commit(folder, TENSORS, payload, digest, CARD, text)
    except OSError as error:
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise PromptError(
            str(folder),
            f"{system_says(error)} while saving",
            "room to write",
            "free some space and save again (an older prompt is kept)",
        ) from error
    return folder


def _check_place(folder: Path) -> None:
    """Refuse a path that is there and cannot be a folder."""
    for path in (folder, *folder.parents):
        if path.is_dir():
            return
        if path.is_symlink() or path.exists():
            broken = not path.exists()
            raise PromptError(
                str(path),
                "a link to nothing" if broken else "a file",
                "a folder to save into",
                "make the folder that it points to, or remove the link" if broken else "choose another path",
            )


def read_prompt(folder: Path | str) -> tuple[dict[str, Tensor], PromptCard]:
    """Read a prompt folder and check that it is whole, also while another process saves there.

    Raises:
        PromptError: missing, truncated, tampered with, or of a newer format.
    """
    folder = expanded(folder)
    unchanged, before = 0, None
    while True:
        content, state = _card_content(folder)
        card, digest = parse_card(folder / CARD, content)
        payload, got = _payload(folder, digest)
        if payload is not None:
            return _tensors(folder / TENSORS, payload, card)
        # The tensors may be those of a prompt that was saved since the card was read.
        unchanged = unchanged + 1 if state == before else 0
        if unchanged == 3:
            break
        before = state
        time.sleep(0.002 * (unchanged + 1))
    raise PromptError(str(folder / TENSORS), got, "the tensors as they were saved", "copy the file again")


def read_card(folder: Path | str) -> PromptCard:
    """Only the card of a prompt folder."""
    folder = expanded(folder)
    return parse_card(folder / CARD, _card_content(folder)[0])[0]


def expanded(folder: Path | str) -> Path:
    """The path with `~` as the home folder.

    Raises:
        PromptError: there is no such home folder.
    """
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise PromptError(str(folder), f"no home folder ({error})", "a path") from None


def _card_content(folder: Path) -> tuple[bytes, tuple[object, ...]]:
    """The card's bytes, and by what another card in its place is noticed."""
    path = folder / CARD
    try:
        if not path.exists():
            raise _no_prompt(folder)
        content, facts = _content(path)
    except OSError as error:
        raise PromptError(
            str(path), system_says(error), "a prompt folder (prompt.safetensors and prompt.json)"
        ) from None
    return content, (content, facts.st_ino, facts.st_mtime_ns)


def _content(path: Path) -> tuple[bytes, os.stat_result]:
    """A file's bytes and facts.

    Raises:
        OSError: no regular file, or one that cannot be read.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(facts.st_mode):
        raise OSError(errno.EINVAL, "a pipe or a device")  # which may never end
    try:
        with open(path, "rb") as file:
            return file.read(), os.fstat(file.fileno())
    except MemoryError:
        raise OSError(errno.ENOMEM, f"{facts.st_size:,} bytes, for which there is no memory") from None


def _no_prompt(folder: Path) -> PromptError:
    """The error for something else in place of a prompt folder, with what to pass instead."""
    expected = "a prompt folder (prompt.safetensors and prompt.json)"
    if folder.is_file():
        do = f"pass its folder, {folder.parent}" if folder.name in (TENSORS, CARD) else ""
        return PromptError(str(folder), "a file", expected, do)
    inside = sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob(f"prompt/{CARD}"))
    inside += sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob(f"*/prompt/{CARD}"))
    if inside:
        choice = f"{folder / inside[0]}" if len(inside) == 1 else f"one of {', '.join(inside)} in it"
        return PromptError(str(folder), "the folder of a run", expected, f"pass {choice}")
    if (folder / TENSORS).exists():
        return PromptError(str(folder / CARD), "no such file or directory", expected, "copy the card as well")
    if (folder / "adapter_config.json").exists():
        return PromptError(str(folder), "a folder of PEFT's (adapter_config.json)", expected)
    return PromptError(str(folder / CARD), "no such file or directory", expected)


def _payload(folder: Path, digest: str) -> tuple[bytes | None, str]:
    """The tensors' bytes that a card names; or None, and what is there instead."""
    got = ""
    for name in (TENSORS, commit.staged_name(digest)):
        if name != TENSORS and not _DIGEST.fullmatch(digest):
            break
        try:
            payload, _ = _content(folder / name)
        except OSError as error:
            got = got or system_says(error)
            continue
        if hashlib.sha256(payload).hexdigest() == digest:
            return payload, ""
        got = got or f"{len(payload)} bytes that do not match the card"
    return None, got


def _tensors(path: Path, payload: bytes, card: PromptCard) -> tuple[dict[str, Tensor], PromptCard]:
    """The prompt's own tensors, and the card with the backbone's record in it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(payload)
    except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise PromptError(
            str(path), f"no tensors ({reason})", "a file of safetensors", "copy it again"
        ) from None
    record = card.backbone.record
    if record is None:
        return tensors, card
    samples = tensors.pop(SAMPLES, None)
    try:
        expected = (tensor_kinds.count(record.base) + tensor_kinds.count(record.head), 2 + record.per_tensor)
    except ValueError as error:
        raise PromptError(f"{path.parent / CARD}: backbone.record", str(error), "tensors by kind") from None
    if samples is None or tuple(samples.shape) != expected or samples.dtype != torch.float32:
        got = "nothing" if samples is None else f"{samples.dtype} of {list(samples.shape)}"
        raise PromptError(f"{path}: {SAMPLES}", got, f"float32 of {list(expected)}, as the card says")
    whole = _with_samples(record, samples)
    return tensors, card.model_copy(update={"backbone": card.backbone.model_copy(update={"record": whole})})


def _with_samples(record: BackboneRecord, samples: Tensor) -> BackboneRecord:
    return record.model_copy(update={"samples": tuple(map(tuple, samples.tolist()))})


def _serialise(tensors: Mapping[str, Tensor]) -> bytes:
    from safetensors.torch import save

    # Clones, because safetensors refuses tensors that share storage.
    return save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
