"""A confusion matrix as a picture."""

import warnings

import pytest

from softprompt.plotting import fonts
from softprompt.plotting.confusion import draw_confusion


@pytest.mark.parametrize("n", [2, 30, 100])
def test_the_picture_is_a_picture(n):
    counts = [[int(i == j) for j in range(n)] for i in range(n)]
    drawn = draw_confusion(counts, [str(i) for i in range(n)])
    assert drawn.startswith(b"\x89PNG") and drawn == draw_confusion(counts, [str(i) for i in range(n)])


@pytest.fixture
def without(monkeypatch):
    """Takes characters away from fonts, all or those whose file a test names."""
    own = fonts._characters

    def take(characters, of=lambda path: True):
        monkeypatch.setattr(
            fonts, "_characters", lambda path: own(path) - (set(characters) if of(path) else set())
        )
        fonts._families.cache_clear()

    yield take
    fonts._families.cache_clear()


def test_labels_that_no_font_has_are_numbers(without):
    without("财经М")
    assert fonts.numbered(["good", "财经", "Х", "café"]) == (["good", "2", "Х", "café"], True)
    assert fonts.numbered(["a", "b"]) == (["a", "b"], False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_confusion([[1, 0], [0, 1]], ["good", "财经"]).startswith(b"\x89PNG")


def test_a_figure_takes_an_installed_font_for_what_its_own_lacks(without):
    without("М", of=lambda path: path.endswith("DejaVuSans.ttf"))
    families = fonts._families("М")
    assert families[0] == "DejaVu Sans" and len(families) == 2
    assert fonts.writable("М") and fonts.numbered(["М"]) == (["М"], False)
