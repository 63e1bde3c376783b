"""Nothing waits for the disk: no test asks what a machine that loses its power would lose."""

import os


def _nothing(descriptor: int) -> None:
    """In place of `os.fsync`, which takes a quarter of the time of a run of a few steps."""


os.fsync = _nothing
