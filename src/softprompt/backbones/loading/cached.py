"""What earlier downloads left on this machine: checkpoints of the hub, and tokenizers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softprompt.backbones.loading.bundled import BUNDLED, bundled_folder
from softprompt.backbones.loading.checkpoint import read_tokenizer
from softprompt.errors import BackboneError
from softprompt.untrusted import Unreadable, read_json


def cached_checkpoint(name: str) -> Path | None:
    """The folder of a hub checkpoint in Hugging Face's cache, or None where it is not there.

    The network is not asked.

    Args:
        name: a hub id, e.g. `gpt2` or `facebook/bart-base`; of anything else there is no checkpoint.
    """
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, "config.json")
    except (ValueError, OSError):
        return None
    return Path(found).parent if isinstance(found, str) else None


def tokenizer_here(name: str) -> Any | None:
    """The tokenizer of a backbone that is on this machine already; None where it is not, or has none.

    The network is not asked, and no weight is read.

    Args:
        name: a bundled name, a folder, or a hub id.
    """
    folder = _folder_here(name)
    if folder is None:
        return None
    try:
        return read_tokenizer(name, str(folder))
    except BackboneError:
        return None


def config_here(name: str) -> Mapping[str, Any]:
    """What the config of a backbone that is on this machine already says; empty where it is not here."""
    folder = _folder_here(name)
    try:
        read = {} if folder is None else read_json(folder / "config.json")
    except Unreadable:
        return {}
    return read if isinstance(read, dict) else {}


def _folder_here(name: str) -> Path | None:
    if name in BUNDLED:
        return bundled_folder(name)
    return Path(name) if Path(name).is_dir() else cached_checkpoint(name)
