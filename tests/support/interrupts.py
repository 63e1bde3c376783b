"""Runs that are stopped on their way, as by Ctrl-C."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from softprompt.training.loop import Loop


@contextmanager
def interrupted_before(step: int) -> Iterator[None]:
    """Whatever trains in this context is interrupted before this step, counted from 0, and must be."""
    plain = Loop._step

    def stopping(self: Any, *arguments: Any) -> None:
        if self.state.step == step:
            raise KeyboardInterrupt
        plain(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            yield
