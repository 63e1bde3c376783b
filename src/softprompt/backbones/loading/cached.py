"""Checkpoints of the hub that an earlier download left on this machine."""

from pathlib import Path


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
