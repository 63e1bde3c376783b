"""What errors say to write into a recipe, said as options of a command whose recipe is not written yet."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from softprompt.errors import ConfigError, DataError, Problem

_TO = re.compile(r"\bset (data\.\w+) to '?(true|false|skip)\b'?")
_IS = re.compile(r"(?:\b([Ss])et )?(data\.\w+): (\"[^\"]*\"|'[^']*'|[^\s,;()]+)")


def as_option(hint: str) -> str:
    """A hint with `--set data.key=value` in place of `data.key: value`."""
    hint = _TO.sub(r"set \1: \2", hint)

    def option(match: re.Match[str]) -> str:
        value = f'"{match[3][1:-1]}"' if match[3].startswith("'") else match[3]
        begin = "" if match[1] is None else "add " if match[1] == "s" else "Add "
        return f"{begin}--set {shlex.quote(f'{match[2]}={value}')}"

    return _IS.sub(option, hint)


def chosen(**columns: str) -> str:
    """The options that name columns by their roles, quoted for a shell."""
    return " ".join(f"--set {shlex.quote(f'data.{role}={column}')}" for role, column in columns.items())


@contextmanager
def hints_as_options() -> Iterator[None]:
    """While entered, errors of settings and data say what to add to the command."""
    try:
        yield
    except (ConfigError, DataError) as error:
        told = [
            Problem(one.where, one.got, one.expected, as_option(one.hint))
            if isinstance(one, Problem)
            else one
            for one in error.problems
        ]
        raise type(error).several(told) from error.__cause__
