"""Stops a run between two steps, so that a checkpoint always holds a whole step."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """Inside the context, Ctrl-C and SIGTERM request a stop instead of interrupting a step.

    The loop calls `check()` where stopping is safe. A second Ctrl-C stops at once; `at_once` is then
    True, since the tensors may be half updated. Signals reach only the main thread, so other threads
    install no handler.
    """

    def __init__(self) -> None:
        self.requested = False
        self.at_once = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def check(self) -> None:
        """Raise KeyboardInterrupt if a stop was requested."""
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self.at_once = True
            raise KeyboardInterrupt
        self.requested = True
