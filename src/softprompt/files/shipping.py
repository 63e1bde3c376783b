"""What is made to be passed on holds no folders of this machine: the last part of a path is kept."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

_AS_WRITTEN = {"template", "separator", "verbalizer", "labels"}
"""Settings whose texts are no paths, whatever they look like; also by dotted names (`task.template`)."""

_START = r"(?:~[\w.-]*[\\/]|[A-Za-z]:[\\/]|file:/+|\\\\|/(?!/))"
"""How an absolute path begins: at the root, in a home folder, on a drive, or on another machine."""

_WHOLE = re.compile(
    rf"(?P<before>[\w.-]+=|[\w.-]{{2,}}:)?(?P<path>{_START}.+)|(?P<share>//[^/\s]+/\S+)", re.DOTALL
)
_INSIDE = re.compile(
    rf"(?<![\w./\\<~-])(?:{_START})(?:[^\s'\"`<>|,;:()\[\]{{}}\\/]+[\\/])+(?P<last>[^\s'\"`<>|,;:()\[\]{{}}\\/]*)"
)
"""An absolute path of two parts or more within a text."""


def without_folders(value: Any) -> Any:
    """A value of JSON with the last part of every absolute path in its texts, and other texts as they are.

    `/home/ann/models/tiny` becomes `tiny`, and `prompt:/home/ann/runs/a` becomes `prompt:a`. Relative paths,
    names and addresses of the web stay. Keys of mappings are texts too.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, PurePath):
        return _text(value.as_posix())
    if isinstance(value, Mapping):
        return {
            without_folders(key): inner if _is_as_written(key) else without_folders(inner)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)(map(without_folders, value))
    return value


def _text(text: str) -> str:
    if "/" not in text and "\\" not in text:
        return text
    whole = _WHOLE.fullmatch(text)
    if whole is not None and (not re.search(r"\s", text) or _exists(whole["path"] or whole["share"])):
        return (whole["before"] or "") + _last(whole["path"] or whole["share"])
    for folder in (str(Path.home()), str(Path.cwd())):
        if len(folder) > 1:
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
    return _INSIDE.sub(lambda found: found["last"] or _last(found[0]), text)


def _is_as_written(key: Any) -> bool:
    return isinstance(key, str) and key.rpartition(".")[2] in _AS_WRITTEN


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _last(path: str) -> str:
    """The last part of a path of any system."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
