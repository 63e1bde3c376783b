"""Prompt folders, with `prompt.safetensors` and `prompt.json`: writing, reading, and what is refused.

A folder may hold anything beside the two. Reading never unpickles and never imports what a file names.
"""

import hashlib
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from softprompt.errors import PromptError, system_says
from softprompt.files import commit, tensor_kinds
from softprompt.files.card_text import MOST_CARD, card_content, parse_card
from softprompt.files.folder_lock import PATIENCE_S
from softprompt.files.prompt_card import FORMAT_VERSION, BackboneRecord, PromptCard
from softprompt.files.tensor_file import Shapes, read_tensors, serialised
from softprompt.untrusted import Unreadable, read_bytes

TENSORS = "prompt.safetensors"
CARD = "prompt.json"
SAMPLES = "backbone.samples"
"""The tensor that holds a `BackboneRecord`'s samples, `[tensor, 2 + number]`."""

_MOST_SAMPLES = 1_000_000

_EXPECTED = "a prompt folder (prompt.safetensors and prompt.json)"

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
    payload = serialised(tensors)
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
    """Refuse a path that is there and cannot be a folder, or links in it that lead to no file."""
    for path in (folder / CARD, folder / TENSORS):
        # The rename would put a file in place of what the link leads to: a disk, or /dev/null.
        if path.is_symlink() and path.exists() and not path.is_file():
            raise PromptError(
                str(path), "a link to a folder, a pipe or a device", "a file to replace", "remove the link"
            )
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


def read_prompt(
    folder: Path | str, fits: Callable[[PromptCard, Shapes], object] | None = None
) -> tuple[dict[str, Tensor], PromptCard]:
    """Read a prompt folder and check that it is whole, also while another process saves there.

    Args:
        folder: as `write_prompt` leaves it.
        fits: raises a PromptError where the sizes of the tensors are not those that the card asks for; called
            before the tensors are read.

    Raises:
        PromptError: missing, truncated, tampered with, or of a newer format; or as `fits`.
    """
    folder = expanded(folder)
    content = before = None
    end = time.monotonic() + PATIENCE_S
    while True:
        former, state = content, _state(folder)
        content = _card_content(folder)
        if content != former:
            card, digest = parse_card(folder / CARD, content)
        try:
            return _tensors(folder, digest, card, fits)
        except PromptError:
            # The tensors may be those of a prompt that was saved since the card was read.
            if state == before or time.monotonic() > end:
                raise
        before = state
        time.sleep(0.002)


def is_prompt_folder(folder: Path) -> bool:
    """Whether a prompt was saved there."""
    return (folder / CARD).is_file()


def read_card(folder: Path | str) -> PromptCard:
    """Only the card of a prompt folder."""
    folder = expanded(folder)
    return parse_card(folder / CARD, _card_content(folder))[0]


def expanded(folder: Path | str) -> Path:
    """The path with `~` as the home folder.

    Raises:
        PromptError: there is no such home folder.
    """
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise PromptError(str(folder), f"no home folder ({error})", "a path") from None


def _state(folder: Path) -> list[tuple[int, int, int] | None]:
    """By what another card or other tensors in the place of these are noticed."""
    state: list[tuple[int, int, int] | None] = []
    for name in (CARD, TENSORS):
        try:
            facts = (folder / name).stat()
        except (OSError, ValueError):
            state.append(None)
        else:
            state.append((facts.st_ino, facts.st_mtime_ns, facts.st_size))
    return state


def _card_content(folder: Path) -> bytes:
    path = folder / CARD
    try:
        if not path.exists():
            raise _no_prompt(folder)
        return read_bytes(path, MOST_CARD)
    except OSError as error:
        raise PromptError(str(path), system_says(error), _EXPECTED) from None
    except Unreadable as error:
        raise PromptError(str(path), str(error), _EXPECTED) from None


def _no_prompt(folder: Path) -> PromptError:
    """The error for something else in place of a prompt folder, with what to pass instead."""
    if folder.is_file():
        do = f"pass its folder, {folder.parent}" if folder.name in (TENSORS, CARD) else ""
        return PromptError(str(folder), "a file", _EXPECTED, do)
    inside = sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob(f"prompt/{CARD}"))
    inside += sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob(f"*/prompt/{CARD}"))
    if inside:
        choice = f"{folder / inside[0]}" if len(inside) == 1 else f"one of {', '.join(inside)} in it"
        return PromptError(str(folder), "the folder of a run", _EXPECTED, f"pass {choice}")
    if (folder / TENSORS).exists():
        return PromptError(
            str(folder / CARD), "no such file or directory", _EXPECTED, "copy the card as well"
        )
    if (folder / "adapter_config.json").exists():
        do = "read it with softprompt.peft.load, or softprompt convert"
        return PromptError(str(folder), "a folder of PEFT's (adapter_config.json)", _EXPECTED, do)
    return PromptError(str(folder / CARD), "no such file or directory", _EXPECTED)


def _tensors(
    folder: Path, digest: str, card: PromptCard, fits: Callable[[PromptCard, Shapes], object] | None
) -> tuple[dict[str, Tensor], PromptCard]:
    """The prompt's own tensors, and the card with the backbone's record in it."""

    def check(shapes: Shapes) -> None:
        if card.backbone.record is not None:
            _check_samples(folder, shapes, card.backbone.record)
            shapes = {name: shape for name, shape in shapes.items() if name != SAMPLES}
        if fits is not None:
            fits(card, shapes)

    try:
        tensors = read_tensors(folder / TENSORS, digest, check)
    except PromptError:
        if not _DIGEST.fullmatch(digest):
            raise
        # A writer that was killed, or is at work, leaves the tensors under this name.
        try:
            tensors = read_tensors(folder / commit.staged_name(digest), digest, check)
        except PromptError:
            tensors = None
        if tensors is None:
            raise
    if card.backbone.record is None:
        return tensors, card
    whole = _with_samples(card.backbone.record, tensors.pop(SAMPLES))
    return tensors, card.model_copy(update={"backbone": card.backbone.model_copy(update={"record": whole})})


def _check_samples(folder: Path, shapes: Shapes, record: BackboneRecord) -> None:
    try:
        expected = (tensor_kinds.count(record.base) + tensor_kinds.count(record.head), 2 + record.per_tensor)
    except ValueError as error:
        where = f"{folder / CARD}: backbone.record"
        raise PromptError(where, str(error)[:80], "numbers of tensors by kind") from None
    if math.prod(expected) > _MOST_SAMPLES:
        where = f"{folder / CARD}: backbone.record"
        raise PromptError(where, f"{math.prod(expected):,} samples", f"at most {_MOST_SAMPLES:,}")
    got = shapes.get(SAMPLES)
    if got != expected:
        raise PromptError(
            f"{folder / TENSORS}: {SAMPLES}",
            "no such tensor" if got is None else f"shape {list(got)}",
            f"shape {list(expected)}, as the card says",
        )


def _with_samples(record: BackboneRecord, samples: Tensor) -> BackboneRecord:
    return record.model_copy(update={"samples": tuple(map(tuple, samples.tolist()))})
