"""Errors that are raised in several places."""

from softprompt.errors import BackboneError


def cannot_continue(name: str) -> BackboneError:
    """The error of soft tokens in an input that goes on from a cache."""
    return BackboneError(
        "prompted",
        f"soft tokens before the text of {name}, which reads both ways, and a cache to go on from",
        "each pass to read the whole text, or a prompt of key/values",
        "use prefix_tuning, or generate with use_cache=False",
    )
