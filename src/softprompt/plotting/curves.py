"""Line plots: bands and dots of several runs, axes and ticks, the losses of a training run."""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from softprompt.plotting.style import LETTER, WIDTH, Drawing, Palette, series, wrapped

CHANCE: dict[str, Any] = {"linestyle": (0, (1, 3)), "linewidth": 1}
"""Style of the line at chance level."""


def line(
    panel: Any,
    i: int,
    xs: Sequence[float],
    ys: Sequence[float],
    band: tuple[Sequence[float], Sequence[float]] | None = None,
    alpha: float = 0.15,
    **look: Any,
) -> Any:
    """Draw the i-th of several lines and return its artist.

    Args:
        band: lower and upper edge of a shaded area around the line.
    """
    (drawn,) = panel.plot(xs, ys, **(series(i) | look))
    if band is not None:
        panel.fill_between(xs, *band, color=drawn.get_color(), alpha=alpha, linewidth=0)
    return drawn


def runs_line(panel: Any, i: int, points: Mapping[float, Sequence[float]]) -> Any:
    """The means of runs with a band of one sample standard deviation, and a dot for each run.

    Args:
        points: by place on the axis, the values of runs; places without values are left out.
    """
    xs = sorted(x for x, some in points.items() if some)
    means = [statistics.fmean(points[x]) for x in xs]
    stds = [statistics.stdev(points[x]) if len(points[x]) > 1 else 0.0 for x in xs]
    pairs = list(zip(means, stds, strict=True))
    band = ([m - s for m, s in pairs], [m + s for m, s in pairs]) if any(stds) else None
    drawn = line(panel, i, xs, means, band)
    if band is not None:
        dots = [(x, value) for x in xs for value in points[x]]
        panel.plot(*zip(*dots, strict=True), ".", color=drawn.get_color(), markersize=4, alpha=0.5)
    return drawn


def value_axis(panel: Any, at: Sequence[float], names: Sequence[str], log: bool, n_panels: int = 1) -> None:
    """Label every value on the axis if the labels fit; else keep matplotlib's ticks.

    Args:
        n_panels: number of panels side by side in a figure of the usual width.
    """
    panel.set_xscale("log" if log else "linear")
    if _fit(sorted(math.log(x) if log else x for x in at), names, n_panels):
        panel.set_xticks(at, names)
        panel.minorticks_off()


def word_axis(panel: Any, names: Sequence[str], n_panels: int = 1) -> None:
    """Names at 0, 1, ..., on several lines, or turned if they do not fit.

    Args:
        n_panels: number of panels side by side in a figure of the usual width.
    """
    several = [wrapped(name, 12) for name in names]
    fit = _fit(range(len(names)), [line for name in several for line in name.splitlines()], n_panels)
    panel.set_xticks(range(len(names)), several if fit else names, rotation=0 if fit else 90)


def _fit(places: Sequence[float], names: Sequence[str], n_panels: int) -> bool:
    """Whether the names, each centred at its place, fit side by side."""
    gap = min((b - a for a, b in pairwise(places)), default=1.0)
    room = 0.75 * WIDTH / n_panels * gap / (places[-1] - places[0] or 1.0)
    return room >= LETTER * (max(map(len, names)) + 1)


def count_axis(panel: Any, counts: Sequence[int]) -> None:
    """A logarithmic axis of counts with a few ticks (`97 k`, `1.2 M`).

    Args:
        counts: of the points in the panel, each above zero.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = min(counts, default=1), max(counts, default=1)
    # A tenth of the range on either side, and a margin around a single count too.
    margin = max((high / low) ** 0.1, 1.4)
    panel.set_xscale("log")
    panel.set_xlim(low / margin, high * margin)
    powers = LogLocator(subs=(1, 3) if high < 100 * low else (1,), numticks=4)
    panel.xaxis.set_major_locator(MaxNLocator(3, integer=True) if high < 10 * low else powers)
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(EngFormatter(sep=" "))


def whole_axis(panel: Any) -> None:
    """A few ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def training_curves(
    training: Sequence[tuple[int, float]],
    development: Sequence[tuple[int, float]],
    scores: Sequence[tuple[int, float]],
    score: str,
    best: int | None,
) -> Drawing:
    """The losses of one run, and under them the score that selects the best step.

    Args:
        training: step and loss.
        development: step and loss of evaluations.
        scores: step and value; empty without a score.
        score: its name.
        best: the step of the best checkpoint, which is marked; None marks no step.
    """

    def fill(sheet: Any, palette: Palette) -> None:
        panels = sheet.subplots(2 if scores else 1, 1, squeeze=False, sharex=True)[:, 0]
        if training:
            panels[0].plot(*zip(*training, strict=True), lw=1, label="training")
        if development:
            panels[0].plot(*zip(*development, strict=True), "o-", ms=3, label="development")
        panels[0].set_ylabel("loss")
        if scores:
            panels[1].plot(*zip(*scores, strict=True), "o-", ms=3)
            panels[1].set_ylabel(score)
        for panel in panels if best is not None else ():
            label = "best" if panel is panels[0] else None
            panel.axvline(best, color=palette.muted, ls=":", label=label)
        panels[-1].set_xlabel("step")
        if panels[0].get_legend_handles_labels()[0]:
            panels[0].legend()

    return Drawing(fill, 6.4 if scores else 3.6, 6.4)
