"""Checkpoints of a run: written in one step, verified on reading, without pickle."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from softprompt.errors import TrainingError
from softprompt.files import sync_folder, write_synced, writing
from softprompt.untrusted import Unreadable, read_bytes, read_json

_FORMAT = 1
_CARD = "checkpoint.json"
_MOST_CARD, _MOST_TENSORS = 64 << 20, 1 << 40
"""The largest files of a checkpoint, in bytes. Those of full fine-tuning are larger than data files."""

# The newest, and the one before it in case the newest is damaged.
_KEEP = 2

_NAME = re.compile(r"step-([0-9]+)(-replaced)?")
"""A checkpoint's folder; `-replaced` is the former one of a step while a new one takes its name."""


@dataclass
class State:
    """The progress of a run, as plain JSON values.

    Args:
        step: optimizer steps done.
        evaluated: step of the last evaluation; -1 before the first.
        best_step: step of the best evaluation; -1 before the first.
        best_value: the selected metric there.
        misses: evaluations since the best.
        seconds: time in training steps, summed over all starts of the run.
        parts: step and value of each part's best, where each has its own.
        first_loss: of the first step; None before it.
        last_losses: of the last steps.
    """

    step: int = 0
    evaluated: int = -1
    best_step: int = -1
    best_value: float | None = None
    misses: int = 0
    seconds: float = 0.0
    parts: dict[str, tuple[int, float]] = field(default_factory=dict)
    first_loss: float | None = None
    last_losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to continue.

    Args:
        step: optimizer steps done.
        tensors: named groups of tensors: `prompt`, `optimizer` and `best`.
        state: plain JSON values.
    """

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


@dataclass
class Checkpoints:
    """The checkpoints below one folder, of which the newest two are kept.

    Args:
        damaged: the checkpoints that the last call of `newest` skipped, a line each.
    """

    folder: Path
    damaged: list[str] = field(default_factory=list)

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write one checkpoint, and then delete older ones.

        Raises:
            TrainingError: the disk is full or the folder cannot be written; earlier checkpoints stay.
        """
        target = self.folder / f"step-{checkpoint.step:08d}"
        temporary = self.folder / f".writing-{checkpoint.step:08d}"
        with writing(self.folder, kept=self._kept()):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir()
                _write(temporary, checkpoint)
                former = target.with_name(f"{target.name}-replaced")
                # A damaged checkpoint of this step, or the same one: kept until the new one has its name.
                if target.exists():
                    shutil.rmtree(former, ignore_errors=True)
                    os.replace(target, former)
                os.replace(temporary, target)
                sync_folder(self.folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        # Later steps are those of a damaged checkpoint, before which the run was resumed.
        for folder in (former, *self._folders(after=checkpoint.step)):
            shutil.rmtree(folder, ignore_errors=True)
        self.prune(_KEEP)
        return target

    def newest(self) -> Checkpoint | None:
        """The newest undamaged checkpoint, or None if there is no checkpoint.

        Raises:
            TrainingError: there are checkpoints and every one is damaged.
        """
        self.damaged = []
        for folder in reversed(self._folders()):
            try:
                return _read(folder)
            except _DamagedError as error:
                self.damaged.append(f"{folder}: {error}")
        if self.damaged:
            raise TrainingError(
                str(self.folder),
                f"no whole checkpoint ({'; '.join(self.damaged)})",
                "at least one checkpoint that matches its checksums",
                "delete the run folder and train anew",
            )
        return None

    def prune(self, keep: int) -> None:
        """Delete all but the newest `keep` checkpoints, and the remains of interrupted writes."""
        for folder in self._folders()[:-keep]:
            shutil.rmtree(folder, ignore_errors=True)
        for folder in self.folder.glob(".writing-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self, after: int = -1) -> list[Path]:
        """The folders of checkpoints after a step, oldest first; a replaced one comes before the new."""
        found = [(_NAME.fullmatch(path.name), path) for path in self.folder.glob("step-*") if path.is_dir()]
        steps = [(int(name[1]), not name[2], path) for name, path in found if name]
        return [path for step, _, path in sorted(steps) if step > after]

    def _kept(self) -> str:
        folders = self._folders()
        return f"the last good checkpoint is {folders[-1]}" if folders else "there is no checkpoint yet"


def fingerprint(examples: Iterable[Any]) -> str:
    """SHA-256 (hex) by which a checkpoint recognises its training examples."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(repr(example).encode("utf-8"))
    return digest.hexdigest()


class _DamagedError(Exception):
    """Why a checkpoint cannot be used."""


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    files = {}
    for group, tensors in checkpoint.tensors.items():
        # Clones, since safetensors refuses tensors that share storage.
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        # As bytes, so that a full disk raises an OSError and the checksum needs no second read.
        content = safetensors.torch.save(plain)
        files[f"{group}.safetensors"] = hashlib.sha256(content).hexdigest()
        write_synced(folder / f"{group}.safetensors", content)
    card: dict[str, Any] = {
        "format": _FORMAT,
        "step": checkpoint.step,
        "files": files,
        "state": dict(checkpoint.state),
    }
    card["checksum"] = _checksum(card)
    write_synced(folder / _CARD, json.dumps(card, indent=1).encode("utf-8"))
    sync_folder(folder)


def _read(folder: Path) -> Checkpoint:
    try:
        card = read_json(folder / _CARD, _MOST_CARD)
        checksum = card.pop("checksum")
        if checksum != _checksum(card):
            raise _DamagedError(f"{_CARD} does not match its checksum")
        if card["format"] != _FORMAT:
            raise _DamagedError(f"format {card['format']}, and this version reads format {_FORMAT}")
        tensors = {}
        for name, expected in card["files"].items():
            content = read_bytes(folder / Path(name).name, _MOST_TENSORS)
            if hashlib.sha256(content).hexdigest() != expected:
                raise _DamagedError(f"{name} does not match its checksum")
            tensors[Path(name).stem] = safetensors.torch.load(content)
        return Checkpoint(card["step"], tensors, card["state"])
    except Unreadable as error:
        raise _DamagedError(f"cannot be read ({error})") from None
    except (ValueError, KeyError, AttributeError, TypeError, SafetensorError):
        raise _DamagedError(f"{_CARD} is not a checkpoint's") from None


def _checksum(card: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode("utf-8")).hexdigest()
