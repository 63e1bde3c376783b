"""Figures from arrays, in one style, with light or dark colours."""

from softprompt.extras import require

require("plots", "figures")

from softprompt.plotting.boxes import bar_plot, box_plot
from softprompt.plotting.confusion import draw_confusion
from softprompt.plotting.curves import (
    CHANCE,
    count_axis,
    line,
    runs_line,
    training_curves,
    value_axis,
    whole_axis,
    word_axis,
)
from softprompt.plotting.figure import Figure, panel_figure
from softprompt.plotting.pictures import AttentionMap, draw_attention, draw_features
from softprompt.plotting.reliability import draw_reliability
from softprompt.plotting.style import DARK, LIGHT, Drawing, Palette, series, wrapped

__all__ = [
    "CHANCE",
    "DARK",
    "LIGHT",
    "AttentionMap",
    "Drawing",
    "Figure",
    "Palette",
    "bar_plot",
    "box_plot",
    "count_axis",
    "draw_attention",
    "draw_confusion",
    "draw_features",
    "draw_reliability",
    "line",
    "panel_figure",
    "runs_line",
    "series",
    "training_curves",
    "value_axis",
    "whole_axis",
    "word_axis",
    "wrapped",
]
