"""What earlier downloads left on this machine: checkpoints of the hub, and tokenizers."""

from pathlib import Path
from typing import Any

from softprompt.backbones.loading.bundled import BUNDLED, bundled_folder
from softprompt.backbones.loading.checkpoint import read_tokenizer
from softprompt.errors import BackboneError


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
    if name in BUNDLED:
        folder = bundled_folder(name)
    else:
        folder = Path(name) if Path(name).is_dir() else cached_checkpoint(name)
    if folder is None:
        return None
    try:
        return read_tokenizer(name, str(folder))
    except BackboneError:
        return None
