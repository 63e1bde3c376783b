"""Runs that are stopped on their way, as by Ctrl-C."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from softprompt.training.loop import Loop


@contextmanager
def interrupted_before(step: int) -> Iterator[None]:
    """Whatever trains in this context is interrupted before this step, counted from 0, and must be."""
    plain = Loop._step

    def stopping(self: Any, *arguments: Any) -> Any:
        if self.state.step == step:
            raise KeyboardInterrupt
        return plain(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            yield


def interrupted_at(step: int, files: tuple[str, ...], run: Callable[[], object]) -> bool:
    """Interrupt a run where Python would handle a signal: as a function begins or one written in C returns.

    Args:
        step: which of these moments, counted from 1.
        files: parts of the paths of the files whose functions count.
        run: what is interrupted.

    Returns:
        Whether there was such a moment. Python swallows what is raised while it closes a generator.
    """
    count = 0

    def trace(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        if event in ("call", "c_return") and any(part in frame.f_code.co_filename for part in files):
            count += 1
            if count == step:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(trace)
    try:
        run()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    return count >= step
