"""Calls of the file system that fail, or at which the process is killed, each in turn."""

import builtins
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMES = ("open", "replace", "rename", "fsync", "mkdir", "unlink", "rmdir")


@contextmanager
def watched(below: Path, act: Callable[[int, str], None]) -> Iterator[None]:
    """Within this context `act` is called before each call that may change files below a folder.

    Args:
        below: the folder.
        act: takes the number of the call, from 1, and its name.
    """
    calls, kept = 0, {name: getattr(os, name) for name in _NAMES}
    opened = builtins.open

    def count(name: str) -> None:
        nonlocal calls
        calls += 1
        act(calls, name)

    def is_below(place: Any) -> bool:
        if isinstance(place, int):
            place = Path(f"/proc/self/fd/{place}").readlink()
        return str(place).startswith(str(below))

    def wrapped(name: str) -> Callable[..., Any]:
        def call(place: Any, *args: Any, **kwargs: Any) -> Any:
            if is_below(place):
                count(name)
            return kept[name](place, *args, **kwargs)

        return call

    class Counted(io.FileIO):
        """A file, each write of which is half done when the call fails."""

        def write(self, content: Any, /) -> int:
            half = bytes(content)[: len(content) // 2]
            try:
                count("write")
            except OSError:
                super().write(half)
                raise
            return super().write(content)

    def open_file(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not isinstance(file, int) and is_below(file) and set(mode) & set("wax+"):
            count("open")
            raw = Counted(file, mode.replace("b", "").replace("t", ""))
            return raw if "b" in mode else io.TextIOWrapper(raw, write_through=True, newline="\n")
        return opened(file, mode, *args, **kwargs)

    try:
        for name in _NAMES:
            setattr(os, name, wrapped(name))
        builtins.open = io.open = open_file
        yield
    finally:
        for name in _NAMES:
            setattr(os, name, kept[name])
        builtins.open = io.open = opened


def failing(below: Path, at: int, number: int, work: Callable[[], object]) -> bool:
    """Do some work, the `at`-th call of which fails; returns whether there were as many.

    Args:
        below: the folder whose calls count.
        at: from 1.
        number: of the error.
        work: what is done; an error of the library is caught, any other propagates.
    """
    from softprompt.errors import SoftpromptError

    reached, error = False, None

    def act(call: int, name: str) -> None:
        nonlocal reached
        if call == at:
            reached = True
            raise OSError(number, os.strerror(number))

    with watched(below, act):
        try:
            work()
        except SoftpromptError as raised:
            error = raised
    if error is not None and not (reached and str(below) in str(error)):
        raise error
    return reached


def killed(below: Path, at: int, work: Callable[[], object]) -> bool:
    """Do some work in a fork that is killed at the `at`-th call; returns whether there were as many."""
    child = os.fork()
    if child == 0:

        def act(call: int, name: str) -> None:
            if call == at:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            with watched(below, act):
                work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
