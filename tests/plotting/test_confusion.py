"""A confusion matrix as a picture."""

import pytest

from softprompt.plotting.confusion import draw_confusion


@pytest.mark.parametrize("n", [2, 30, 100])
def test_the_picture_is_a_picture(n):
    counts = [[int(i == j) for j in range(n)] for i in range(n)]
    drawn = draw_confusion(counts, [str(i) for i in range(n)])
    assert drawn.startswith(b"\x89PNG") and drawn == draw_confusion(counts, [str(i) for i in range(n)])
