"""Settings of the trunk cache: where the states below the first prompted layer are kept, and how many."""

import re
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from softprompt.config.base import Settings
from softprompt.errors import Problem

_UNITS = {"B": 1}
_UNITS |= {f"{letter}B": 1000**power for power, letter in enumerate("KMGT", start=1)}
_UNITS |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", start=1)}


class TrunkCacheSettings(Settings):
    store: Literal["memory"]
    """Where states are kept: in the process's memory."""
    limit: str = "2 GB"
    """The most bytes that they may take, of each process: with a unit, from B to TB or TiB."""
    folder: None = None
    """No longer offered; null alone is taken, so that older settings are read."""

    @field_validator("limit", mode="before")
    @classmethod
    def _readable(cls, raw: Any) -> Any:
        if not isinstance(raw, str) or _bytes(raw) is None:
            expected = "a number above 0 with a unit, e.g. '500 MB' or '2 GiB'"
            raise ValueError(Problem("training.trunk_cache.limit", repr(raw), expected))
        return raw

    @field_validator("store", "folder", mode="before")
    @classmethod
    def _no_disk(cls, raw: Any, info: ValidationInfo) -> Any:
        if raw == "disk" or (info.field_name == "folder" and raw is not None):
            allowed = "'memory'" if info.field_name == "store" else "no folder"
            expected = f"{allowed}, since states are no longer kept on a disk"
            do = "set training.trunk_cache.store=memory, and leave training.trunk_cache.folder out"
            raise ValueError(Problem(f"training.trunk_cache.{info.field_name}", repr(raw), expected, do))
        return raw

    @property
    def limit_bytes(self) -> int:
        """The limit as a number."""
        found = _bytes(self.limit)
        assert found is not None  # checked when it was read
        return found


def _bytes(text: str) -> int | None:
    """`500 MB` as a number of bytes; None where it is none, or names no unit."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if match is None or match[2].upper() not in _UNITS:
        return None
    return int(float(match[1]) * _UNITS[match[2].upper()]) or None
