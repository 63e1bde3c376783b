"""The curves of a run, drawn from its log."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.files import write_atomically


def draw_curves(lines: Sequence[Mapping[str, Any]], folder: Path, select: str) -> None:
    """Write `curves.png` and `curves.svg`: training and development loss, and the selected metric.

    Args:
        lines: the run's log.
        select: the development metric that picks the best checkpoint; marked in the plot.
    """
    from softprompt.plotting import training_curves

    def points(kind: str, key: str) -> list[tuple[int, float]]:
        return [(line["step"], line[key]) for line in lines if line["kind"] == kind]

    best = [line["step"] for line in lines if line["kind"] == "evaluation" and line["best"]]
    drawing = training_curves(
        points("step", "loss"), points("evaluation", "loss"),
        [] if select == "loss" else points("evaluation", select), f"development {select}",
        best[-1] if best else None,
    )  # fmt: skip
    write_atomically(folder / "curves.png", drawing.png(dpi=150))
    write_atomically(folder / "curves.svg", drawing.svg())
