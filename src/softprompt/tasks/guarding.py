"""What is checked of another package's task while it runs.

An exception in its methods names the task, and results of the wrong form are refused where they are returned.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from softprompt.errors import ConfigError, counted, kind_of
from softprompt.tasks.base import Task
from softprompt.tasks.examples import ScoreRow
from softprompt.tasks.inputs import Row
from softprompt.tasks.registry import TASKS
from softprompt.tasks.rows import RowsExample


def guard(name: str, kind: type[Task]) -> None:
    """Wrap the methods of a class that are no methods of softprompt's own classes.

    Args:
        name: of the task, for errors.
        kind: its class, which is changed.
    """
    for attribute in dir(kind):
        own = inspect.getattr_static(kind, attribute)
        function = own.__func__ if isinstance(own, classmethod) else own
        if isinstance(function, FunctionType) and not str(function.__module__).startswith("softprompt."):
            guarded = _guarded(name, attribute, function)
            setattr(kind, attribute, classmethod(guarded) if isinstance(own, classmethod) else guarded)


def _guarded(name: str, attribute: str, function: FunctionType) -> Callable[..., Any]:
    check = _CHECKS.get(attribute)

    @functools.wraps(function)
    def guarded(self: Any, *args: Any, **options: Any) -> Any:
        with TASKS.naming(name):
            returned = function(self, *args, **options)
        if attribute == "__init__" and not hasattr(self, "settings"):
            do = "call super().__init__(backbone, settings, ...)"
            raise ConfigError(f"task '{name}': __init__", "no settings", "those of the class Task", do)
        if check is not None:
            check(f"task '{name}': {attribute}", returned, args)
        return returned

    return guarded


def _check_loss(where: str, returned: object, args: Sequence[Any]) -> None:
    if not isinstance(returned, Tensor) or returned.numel() != 1:
        got = f"shape {list(returned.shape)}" if isinstance(returned, Tensor) else kind_of(returned)
        raise ConfigError(where, got, "a tensor of one number", "return the sum over the examples")
    # Of `head_loss` the first argument is a tensor, and has no gradient where the prompt is frozen.
    tracked = torch.is_grad_enabled() and isinstance(args[0] if args else None, Tensor)
    if tracked and args[0].requires_grad and not returned.requires_grad:
        do = "compute it from the outputs, without detach, item or no_grad"
        raise ConfigError(where, "a loss without a gradient", "a loss that depends on the outputs", do)


def _check_answers(where: str, returned: object, args: Sequence[Any]) -> None:
    if not isinstance(returned, (list, tuple)):
        raise ConfigError(where, kind_of(returned), "a list of answers, one for each record")
    n_records = len(args[-1] if where.endswith("answers") else args[0])
    if len(returned) != n_records:
        raise ConfigError(where, counted(len(returned), "answer"), f"{n_records}, one for each record")


def _check_encoded(where: str, returned: object, args: Sequence[Any]) -> None:
    for name in ("length", "n_targets", "n_rows"):
        number = getattr(returned, name, None)
        if not isinstance(number, int) or number < 1:
            got = kind_of(returned) if number is None else f"{name} {number!r}"
            expected = "an object with id, and with length, n_targets and n_rows of at least 1"
            raise ConfigError(where, got, expected, "see softprompt.tasks.AnyExample")


def _check_example(where: str, returned: object, args: Sequence[Any]) -> None:
    if not isinstance(returned, RowsExample):
        do = "return ReadingExample(record.id, (row,), labels)"
        raise ConfigError(where, kind_of(returned), "a softprompt.tasks.ReadingExample", do)
    rows = returned.rows
    if not isinstance(rows, (list, tuple)) or not rows or not all(isinstance(row, Row) for row in rows):
        got = "no rows" if isinstance(rows, (list, tuple)) and not rows else kind_of(rows)
        do = "write (row,), with row = form.row(...)"
        raise ConfigError(f"{where}: rows", got, "a tuple of at least one row", do)


def _check_scores(where: str, returned: object, args: Sequence[Any]) -> None:
    rows = returned if isinstance(returned, (list, tuple)) else [returned]
    if not all(isinstance(row, Mapping) and ScoreRow.__required_keys__ <= row.keys() for row in rows):
        do = "return super().score(records, outputs, metrics), or a list of softprompt.tasks.ScoreRow"
        raise ConfigError(where, kind_of(returned), "a list of rows of scores", do)


def _check_artefacts(where: str, returned: object, args: Sequence[Any]) -> None:
    files = returned.items() if isinstance(returned, Mapping) else ()
    if not isinstance(returned, Mapping) or not all(
        isinstance(content, (str, bytes)) for _, content in files
    ):
        raise ConfigError(where, kind_of(returned), "a mapping of names of files to texts or bytes")


_CHECKS: Mapping[str, Callable[[str, object, Sequence[Any]], None]] = {
    "loss": _check_loss,
    "head_loss": _check_loss,
    "answers": _check_answers,
    "predict": _check_answers,
    "encode": _check_encoded,
    "example": _check_example,
    "score": _check_scores,
    "artefacts": _check_artefacts,
}
"""By the name of a method."""
