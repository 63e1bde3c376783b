"""The figures of a report, drawn from a study's results."""

from softprompt.studies.figures.along import draw_curve
from softprompt.studies.figures.registry import FIGURES, draw_figures

__all__ = ["FIGURES", "draw_curve", "draw_figures"]
