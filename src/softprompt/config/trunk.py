"""Settings of the trunk cache: where the states below the first prompted layer are kept, and how many."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from softprompt.config.base import Settings
from softprompt.errors import Problem

_UNITS = {"B": 1}
_UNITS |= {f"{letter}B": 1000**power for power, letter in enumerate("KMGT", start=1)}
_UNITS |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", start=1)}


class TrunkCacheSettings(Settings):
    store: Literal["memory", "disk"]
    """Where states are kept: in the process's memory, or in files that are mapped into it."""
    limit: str = "2 GB"
    """The most bytes that they may take, of each process: with a unit, from B to TB or TiB."""
    folder: Path | None = None
    """Where the files lie (disk only), to be shared by runs and kept; None is a folder in the run's own that
    goes when the run has ended."""

    @field_validator("limit", mode="before")
    @classmethod
    def _readable(cls, raw: Any) -> Any:
        if not isinstance(raw, str) or _bytes(raw) is None:
            expected = "a number above 0 with a unit, e.g. '500 MB' or '2 GiB'"
            raise ValueError(Problem("training.trunk_cache.limit", repr(raw), expected))
        return raw

    @model_validator(mode="after")
    def _folder_of_disk(self) -> "TrunkCacheSettings":
        if self.folder is not None and self.store != "disk":
            where, got = "training.trunk_cache.folder", f"a folder with store '{self.store}'"
            raise ValueError(Problem(where, got, "store 'disk'", "leave the folder out"))
        return self

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
