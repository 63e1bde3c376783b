"""The base class of all settings, and bounds that several settings share."""

import os
import unicodedata
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from softprompt.errors import Problem, shortened

MOST = 1_000_000_000
"""The largest number, of either sign, in a setting that has no bound of its own. Larger ones overflow only
later, in libraries whose errors do not name the setting."""

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""What random draws begin from."""

Rate = Annotated[float, Field(gt=0, le=1000)]
"""A learning rate."""


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys, numbers beyond `MOST`, and paths that no system takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _of_usual_size(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Path):
            check_path(str(value))
        if isinstance(value, int | float) and abs(value) > MOST:
            bounds = cls.model_fields[str(info.field_name)].metadata
            if not any(hasattr(bound, "lt") or hasattr(bound, "le") for bound in bounds):
                raise ValueError(Problem("", repr(value), f"a number of at most {MOST:,}"))
        return value


def check_path(path: str) -> str:
    """Refuse a path that is too long for any file system.

    Raises:
        ValueError: with the problem.
    """
    if len(os.fsencode(path)) > 4000 or any(len(os.fsencode(part)) > 255 for part in Path(path).parts):
        raise ValueError(Problem("", shortened(repr(path), 100), "a path whose names have at most 255 bytes"))
    return path


def _check_folder_name(name: str) -> str:
    """Refuse a name that is no folder below the output folder, on any system.

    Raises:
        ValueError: with the problem.
    """
    expected = "the name of one folder: no / or \\, at most 200 bytes"
    wrong = (
        name.strip(" .") == ""
        or any(sign in name for sign in "/\\")
        or any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name)
    )
    if wrong or len(name.encode("utf-8", "replace")) > 200:
        raise ValueError(
            Problem(
                "", repr(name), expected, "choose another name, and set the place of the folder by output"
            )
        )
    return name


FolderName = Annotated[str, AfterValidator(_check_folder_name)]
"""The name of a run or a study, and of its folder."""
