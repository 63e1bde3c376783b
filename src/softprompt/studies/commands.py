"""Command lines, as reports show them."""

import shlex
from collections.abc import Sequence
from pathlib import Path

_Value = Path | str | int


def command_line(
    command: str,
    *places: Path | str,
    overrides: Sequence[str] = (),
    **options: _Value | Sequence[_Value] | None,
) -> str:
    """`softprompt COMMAND PLACES --set OVERRIDE --option value`, as a shell reads it.

    Args:
        options: in order; None is left out, and a list repeats the option for each value.
    """
    words = ["softprompt", command, *map(_word, places)]
    for name, given in {"set": overrides, **options}.items():
        values = [given] if isinstance(given, _Value) else given or ()
        for value in values:
            words += [f"--{name}", _word(value)]
    return shlex.join(words)


def _word(value: _Value) -> str:
    return value.as_posix() if isinstance(value, Path) else str(value)
