"""Names of folders, and the value that stands in a column."""

import re
import unicodedata
from typing import Any

from softprompt.experiments.settings import PLACEHOLDER


def slug(name: str) -> str:
    """A name that every file system takes, e.g. `p-tuning-v2` for `P-Tuning v2`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.") or "unnamed"


def filled(value: Any, filling: Any) -> Any:
    """The same structure with `{value}` filled in; alone it keeps the value's own type."""
    if isinstance(value, dict):
        return {key: filled(inner, filling) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, filling) for inner in value]
    if value == PLACEHOLDER:
        return filling
    return value.replace(PLACEHOLDER, str(filling)) if isinstance(value, str) else value
