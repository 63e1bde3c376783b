"""The pictures of `looking`: attention over pictures, and features in a plane."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from softprompt.experiments.looking import View


def draw_attention(pictures: Tensor, labels: Sequence[str], views: Sequence[View]) -> bytes:
    """A PNG: a row for each picture, a column for each view, attention over the picture.

    Colours have one scale within a row. Below stands how much of the attention goes to the prompt.

    Args:
        pictures: 8-bit values, `[shown, channel, height, width]`.
        labels: the class of each.
        views: with patches.
    """
    figure, panels = _panels(len(pictures), 1 + len(views), 1.45, 1.6)
    height, width = pictures.shape[-2:]
    for i, picture in enumerate(pictures):
        strongest = max(float(view.patches[i].max()) for view in views if view.patches is not None)
        shown = picture.permute(1, 2, 0).numpy()
        panels[i][0].imshow(shown)
        panels[i][0].set_ylabel(labels[i], fontsize=8)
        for panel, view in zip(panels[i][1:], views, strict=True):
            assert view.patches is not None and view.on_prompt is not None
            border = view.border
            panel.imshow(np.full((2, 2, 3), 255, dtype=np.uint8), extent=_extent(height, width, border))
            panel.imshow(shown, extent=_extent(height, width, 0))
            panel.imshow(
                view.patches[i].numpy(), extent=_extent(height, width, border), cmap="inferno", alpha=0.6,
                vmin=0, vmax=strongest, interpolation="bilinear",
            )  # fmt: skip
            share = float(view.on_prompt[i])
            panel.set_xlabel(f"prompt {share:.0%}" if share else "", fontsize=7, labelpad=2)
    for panel, name in zip(panels[0], ["picture", *(view.name for view in views)], strict=True):
        panel.set_title(name, fontsize=8)
    return _png(figure, 100)


def draw_features(
    planes: Sequence[Any], labels: Sequence[str], names: Sequence[str], alike: Sequence[float]
) -> bytes:
    """A PNG: a panel for each view, a dot for each picture, a colour for each class.

    Args:
        planes: of each view, `[picture, 2]`.
        labels: the class of each picture.
        names: of the views.
        alike: their neighbours of one class, in per cent.
    """
    figure, panels = _panels(1, len(planes), 3.0, 3.3)
    classes = sorted(set(labels))
    for panel, plane, name, share in zip(panels[0], planes, names, alike, strict=True):
        for i, label in enumerate(classes):
            of_class = np.array([other == label for other in labels])
            colour = f"C{i}" if len(classes) <= 10 else _colour(i / len(classes))
            panel.scatter(*plane[of_class].T, s=5, color=colour, label=label, linewidths=0)
        panel.set_title(name, fontsize=9)
        panel.set_xlabel(f"neighbours of one class {share:.1f}%", fontsize=8)
    if len(classes) <= 20:
        handles, texts = panels[0][0].get_legend_handles_labels()
        figure.legend(
            handles, texts, loc="outside lower center", ncols=5, fontsize=7, markerscale=2, frameon=False
        )
    return _png(figure, 110)


def _panels(rows: int, columns: int, width: float, height: float) -> tuple[Any, Any]:
    # The object interface needs no display and leaves the caller's pyplot alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    return figure, panels


def _extent(height: int, width: int, border: int) -> tuple[float, float, float, float]:
    return -border - 0.5, width + border - 0.5, height + border - 0.5, -border - 0.5


def _colour(place: float) -> Any:
    from matplotlib import colormaps

    return colormaps["turbo"](place)


def _png(figure: Any, dpi: int) -> bytes:
    """The figure in 256 colours: a third of the size, and nothing that an eye would miss."""
    drawn, kept = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    Image.open(drawn).convert("RGB").quantize(256).save(kept, format="png", optimize=True)
    return kept.getvalue()
