"""Sections whose settings follow from a name in a table: `method` and `task`."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from softprompt.config.base import Settings
from softprompt.config.mistakes import explain_all
from softprompt.errors import Problem, SoftpromptError


def named_settings(section: str, rows: Any, raw: Mapping[str, Any]) -> Settings:
    """A mapping as the settings of the row that it names.

    Args:
        section: of the recipe, for errors.
        rows: by name, each with a class `settings`.
        raw: with a `name`.

    Raises:
        ValueError: every mistake in the mapping, as pydantic wants it of a validator.
    """
    if "name" not in raw:
        expected = f"one of {', '.join(map(repr, rows))}"
        raise ValueError(Problem(f"{section}.name", "no name", expected))
    try:
        kind: type[Settings] = rows[str(raw["name"])].settings
    except SoftpromptError as error:
        raise ValueError(*error.problems) from None
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ValueError(*(_placed(one, section) for one in explain_all(error.errors(), kind))) from None


def _placed(problem: Problem, section: str) -> Problem:
    """A problem with its section before its place, if the place does not begin with the section."""
    if not problem.where or problem.where.startswith(f"{section}."):
        return problem
    return problem.at(f"{section}.{problem.where}")
