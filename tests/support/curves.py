"""Runs without their figure, whose drawing takes several times as long as a tiny run."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from softprompt.tasks import labelled
from softprompt.training import run


@contextmanager
def undrawn() -> Iterator[None]:
    """Runs in this context leave no curves, and no pictures of confusion and calibration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "draw_curves", lambda lines, folder, select: None)
        patch.setattr(labelled, "_drawn", lambda name, *figures: {})
        yield
