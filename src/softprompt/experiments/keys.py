"""Dotted keys, names of folders, and the value that stands in a column."""

import re
import unicodedata
from typing import Any

from softprompt.errors import ConfigError
from softprompt.experiments.settings import PLACEHOLDER


def put(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key in a nested mapping, making the sections on its way.

    Raises:
        ConfigError: a part of the key is empty, or names a value where a section is needed.
    """
    *parents, last = key.split(".")
    if not all((*parents, last)):
        raise ConfigError("set", repr(key), "a dotted key, e.g. training.learning_rate")
    node = raw
    for parent in parents:
        node[parent] = {} if node.get(parent) is None else node[parent]
        node = node[parent]
        if not isinstance(node, dict):
            raise ConfigError("set", repr(key), f"a setting inside '{parent}', which holds a single value")
    node[last] = value


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
