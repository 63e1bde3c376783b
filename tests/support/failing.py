"""Functions that raise, importable by a process that is started anew."""

from softprompt import errors
from softprompt.errors import ConfigError, Problem

PLAIN = ("training.steps", 3, "at least 4", "raise it")


def fail(kind: str) -> None:
    """Raise one of the library's errors by its name."""
    raise getattr(errors, kind)(*PLAIN)


def fail_twice() -> None:
    """Raise an error of three problems."""
    raise ConfigError.several([ConfigError(*PLAIN), Problem("name", "no value", "a name"), "a line"])
