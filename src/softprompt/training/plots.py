"""The curves of a run, drawn from its log."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def draw_curves(lines: Sequence[Mapping[str, Any]], folder: Path, select: str) -> None:
    """Write `curves.png` and `curves.svg`: training and development loss, and the selected metric.

    Args:
        lines: the run's log.
        select: the development metric that picks the best checkpoint; marked in the plot.
    """
    # The object interface needs no display and leaves the caller's pyplot alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [line for line in lines if line["kind"] == "step"]
    evaluations = [line for line in lines if line["kind"] == "evaluation"]
    has_metric = select != "loss" and bool(evaluations)
    figure = Figure(figsize=(6.4, 6.4 if has_metric else 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if has_metric else 1, 1, squeeze=False, sharex=True)[:, 0]
    losses = panels[0]
    if steps:
        losses.plot([s["step"] for s in steps], [s["loss"] for s in steps], lw=1, label="training")
    if evaluations:
        at = [line["step"] for line in evaluations]
        losses.plot(at, [line["loss"] for line in evaluations], "o-", ms=3, label="development")
    losses.set_ylabel("loss")
    if has_metric:
        panels[1].plot([e["step"] for e in evaluations], [e[select] for e in evaluations], "o-", ms=3)
        panels[1].set_ylabel(f"development {select}")
    best = [line["step"] for line in evaluations if line["best"]]
    for panel in panels:
        panel.grid(alpha=0.3)
        if best:
            panel.axvline(best[-1], color="0.5", ls=":", label="best" if panel is losses else None)
    panels[-1].set_xlabel("step")
    if losses.get_legend_handles_labels()[0]:
        losses.legend()
    figure.savefig(folder / "curves.png", dpi=150)
    figure.savefig(folder / "curves.svg")
