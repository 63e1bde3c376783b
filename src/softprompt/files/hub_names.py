"""Names of repositories on the hub, `user/name`, and which texts mean a folder instead."""

import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def is_repository_name(text: object) -> bool:
    """Whether a text has the form `user/name`."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_hub_id(name: str) -> bool:
    """Whether a model's or data set's name has the form `organisation/name`, and is no folder here."""
    return is_repository_name(name) and not _is_here(name)


def names_repository(source: Path | str) -> bool:
    """Whether a text means a repository of the hub, and no folder here: `user/name`.

    A text whose folder is here, or the first part of it, means the folder; so does every `Path`.
    """
    if not isinstance(source, str) or not is_repository_name(source):
        return False
    return not _is_here(source) and not _is_here(source.partition("/")[0])


def _is_here(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False
