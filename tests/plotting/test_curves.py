"""Axes of figures: what stands under them, and that it can be read."""

from itertools import pairwise

import pytest

from softprompt.plotting import curves
from softprompt.plotting.style import Drawing


def texts_under(fill):
    """What stands under the axis that `fill` makes, from left to right; none of them touch."""

    def draw(sheet, palette):
        fill(sheet.subplots())

    with Drawing(draw, 2.5, width=2.5).sheet() as sheet:
        sheet.canvas.draw()
        (panel,) = sheet.axes
        low, high = panel.get_xlim()
        shown = [text for text in panel.get_xticklabels() if low <= text.get_position()[0] <= high]
        boxes = [text.get_window_extent() for text in shown]
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
        return [text.get_text() for text in shown]


@pytest.mark.parametrize(
    ("counts", "texts"),
    [
        ([1000, 5_000_000], ["1 k", "100 k", "10 M"]),
        ([138_240, 134_515_008], ["100 k", "1 M", "10 M", "100 M"]),
        ([1000, 90_000], ["1 k", "3 k", "10 k", "30 k", "100 k"]),
        ([97_000, 138_000], ["100 k", "150 k"]),
        ([12, 13], ["12", "16"]),
        ([1000], ["750", "1 k", "1.25 k"]),
    ],
)
def test_a_few_counts_around_the_points(counts, texts):
    assert texts_under(lambda panel: curves.count_axis(panel, counts)) == texts


def test_values_are_named_where_all_of_them_fit():
    def named(values, log):
        names = [str(value) for value in values]

        def fill(panel):
            panel.plot(values, values)
            curves.value_axis(panel, values, names, log, 2)

        return texts_under(fill)

    assert named([1, 4, 16, 64], True) == ["1", "4", "16", "64"]
    assert named([50, 100, 200], False) == ["50", "100", "200"]
    crowded = named(list(range(1, 40)), False)
    assert 2 <= len(crowded) < 10 and set(crowded) <= {str(10 * i) for i in range(5)}
    assert len(named([10**i for i in range(8)], True)) >= 2


@pytest.mark.parametrize("names", [["random", "examples:4"], [f"a long name, {i}" for i in range(8)]])
def test_words_are_all_named(names):
    found = texts_under(lambda panel: (panel.plot(range(len(names))), curves.word_axis(panel, names)))
    assert [text.replace("\n", " ") for text in found] == names
