"""The errors a user can meet.

Every message says where it happened, what came, what was expected and what to do:
`prompt.layers: got 14; expected layers 0-11 (gpt2 has 12); choose a subset`.
"""

import difflib
from collections.abc import Iterable, Sequence


def problem(where: str, got: object = None, expected: str = "", do: str = "") -> str:
    """One line in the house's form: *where · received · expected · what to do*."""
    parts = []
    if got is not None:
        parts.append(f"got {got}")
    if expected:
        parts.append(f"expected {expected}")
    if do:
        parts.append(do)
    return f"{where}: " + "; ".join(parts)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint such as `did you mean 'layers'?`, or an empty text when nothing is close."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""


class SoftpromptError(Exception):
    """Anything that the user can put right. The command line prints it without a traceback."""

    def __init__(self, where: str, got: object = None, expected: str = "", do: str = ""):
        super().__init__(problem(where, got, expected, do))

    @classmethod
    def several(cls, problems: Sequence[str]) -> "SoftpromptError":
        """One error that reports several problems, a line each, so that all are mended at once."""
        error = cls.__new__(cls)
        Exception.__init__(error, "\n".join(problems))
        return error


class ConfigError(SoftpromptError):
    """A setting is unknown, of the wrong kind, or contradicts another."""


class BackboneError(SoftpromptError):
    """The frozen model cannot be loaded, or cannot do what was asked of it."""


class PromptError(SoftpromptError):
    """A prompt, or a prompt file, does not fit."""


class DataError(SoftpromptError):
    """A data file is missing, empty or malformed."""


class TrainingError(SoftpromptError):
    """Training stopped: the loss is no number, or a checkpoint cannot be used."""
