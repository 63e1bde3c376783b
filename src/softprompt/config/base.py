"""What every group of settings is."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from softprompt.errors import Problem


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


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
        raise ValueError(Problem("", repr(name), expected, "choose another name; output says where it lies"))
    return name


FolderName = Annotated[str, AfterValidator(_check_folder_name)]
"""A run's or a study's name, which is that of its folder."""
