"""Stopping between two steps, so that what is saved is always a whole step."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """While entered, Ctrl-C and SIGTERM ask for a stop instead of breaking a step in two.

    The loop asks `check()` where stopping is safe. A second Ctrl-C stops at once, and then
    `at_once` says that the tensors may be in the middle of an update. Outside the main thread no
    signals arrive, so nothing is installed there.
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
        """Raise KeyboardInterrupt when a stop was asked for."""
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self.at_once = True
            raise KeyboardInterrupt
        self.requested = True
