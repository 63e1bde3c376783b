"""Learning curves: the development scores of a run by step."""

import math
from dataclasses import dataclass
from typing import Any

from softprompt.studies.results.study_result import RunResult
from softprompt.training import RunFolder


@dataclass(frozen=True)
class Curve:
    """The evaluations of one run.

    Args:
        metric: the development metric that decides which step is best.
        points: step and score in order; empty without evaluations.
    """

    metric: str
    points: tuple[tuple[int, float], ...]


def curve_of(run: RunResult) -> Curve:
    """The evaluations in a run's log, or those that a results table kept."""
    kept = run.facts.get("curve")
    if kept is not None:
        return Curve(kept["metric"], tuple((int(step), float(value)) for step, value in kept["points"]))
    metric = run.run.settings.training.select
    if run.stored:
        return Curve(metric, ())
    points: dict[int, float] = {}
    for line in RunFolder(run.run.settings.folder).lines():
        if line.get("kind") == "evaluation" and _finite(line.get(metric)):
            points[int(line["step"])] = float(line[metric])
    return Curve(metric, tuple(sorted(points.items())))


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
