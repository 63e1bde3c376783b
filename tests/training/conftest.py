"""For runs: no figure is drawn unless a test asks for it."""

import pytest

from support.curves import undrawn


@pytest.fixture(autouse=True)
def _curves(request):
    """Marked `curves`, a test's runs draw theirs."""
    if request.node.get_closest_marker("curves"):
        yield
    else:
        with undrawn():
            yield
