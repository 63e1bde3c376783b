"""Box plots and bars of the values of several runs."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Values = Mapping[float, Sequence[float]]
"""The values of runs by place on an axis; a place without values stays empty."""

_MOST_DOTS = 20
"""Largest number of runs that are drawn one by one over a box."""


def box_plot(
    panel: Any, values: Values, *, width: float = 0.56, color: str = "C0", upright: bool = False
) -> Any:
    """A box from quartile to quartile, with whiskers to minimum and maximum and a dot for each run.

    Returns:
        The artist for a legend; None if nothing was drawn.
    """
    done = {place: some for place, some in values.items() if some}
    if not done:
        return None
    edge = {"color": color, "linewidth": 1}
    drawn = panel.boxplot(
        list(done.values()), positions=list(done), widths=width, whis=(0, 100), showfliers=False,
        orientation="vertical" if upright else "horizontal", manage_ticks=False, whiskerprops=edge,
        capprops=edge, patch_artist=True,
        boxprops={"facecolor": (color, 0.25), "edgecolor": color, "linewidth": 1},
        medianprops={"color": color, "linewidth": 2.2, "solid_capstyle": "butt"},
    )  # fmt: skip
    for place, some in done.items():
        if len(some) <= _MOST_DOTS:
            _dots(panel, place, some, color, upright)
    return drawn["boxes"][0]


def bar_plot(panel: Any, values: Values, *, color: str = "C0") -> None:
    """A bar across from zero to each mean, with one sample standard deviation and a dot for each run."""
    for place, some in values.items():
        if some:
            mean = statistics.fmean(some)
            panel.barh(place, mean, height=0.6, color=color, alpha=0.45)
        if len(some) > 1:
            panel.errorbar(mean, place, xerr=statistics.stdev(some), color=color, lw=1.5)
            _dots(panel, place, some, color, upright=False)
    # Lengths of bars can be compared only if the bars begin at zero.
    if min((min(some) for some in values.values() if some), default=0) >= 0:
        panel.set_xlim(left=0)


def _dots(panel: Any, place: float, values: Sequence[float], color: str, upright: bool) -> None:
    along, across = [place] * len(values), list(values)
    x, y = (along, across) if upright else (across, along)
    panel.plot(x, y, "o", color=color, markersize=3, alpha=0.75)
