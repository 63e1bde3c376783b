"""Drawings of a vision transformer: attention over pictures, and features in two dimensions."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from softprompt.plotting.style import Drawing, Palette, plain_panels

Array = NDArray[Any]


@dataclass(frozen=True)
class AttentionMap:
    """Attention over pictures.

    Args:
        name: of the model or prompt.
        patches: weights of patches, `[picture, row, column]`.
        on_prompt: summed weight of the prompt, `[picture]`.
        border: width in pixels of the frame that the prompt adds to pictures; patches cover the frame too.
    """

    name: str
    patches: Array
    on_prompt: Array
    border: int = 0


def draw_attention(pictures: Array, labels: Sequence[str], maps: Sequence[AttentionMap]) -> bytes:
    """Draw a row for each picture and a column for each map, over the picture, as a PNG file.

    Each row has one colour scale. The share of the attention on the prompt stands under each map.

    Args:
        pictures: 8-bit values, `[picture, channel, height, width]`.
        labels: the class of each picture.
        maps: one for each column.
    """
    height, width = pictures.shape[-2:]

    def fill(sheet: Any, _: Palette) -> None:
        panels = plain_panels(sheet, len(pictures), 1 + len(maps))
        for i, row in enumerate(panels):
            shown = pictures[i].transpose(1, 2, 0)
            strongest = max(float(view.patches[i].max()) for view in maps)
            row[0].imshow(shown)
            row[0].set_ylabel(labels[i], fontsize=8)
            for panel, view in zip(row[1:], maps, strict=True):
                around = _extent(height, width, view.border)
                panel.imshow(np.full((2, 2, 3), 255, dtype=np.uint8), extent=around)
                panel.imshow(shown, extent=_extent(height, width, 0))
                panel.imshow(
                    view.patches[i], extent=around, cmap="inferno", alpha=0.6, vmin=0, vmax=strongest,
                    interpolation="bilinear",
                )  # fmt: skip
                share = float(view.on_prompt[i])
                panel.set_xlabel(f"prompt {share:.0%}" if share else "", fontsize=7, labelpad=2)
        for panel, name in zip(panels[0], ["picture", *(view.name for view in maps)], strict=True):
            panel.set_title(name, fontsize=8)

    return _small_png(Drawing(fill, 1.6 * len(pictures), 1.45 * (1 + len(maps))), 100)


def draw_features(
    planes: Sequence[Array], labels: Sequence[str], names: Sequence[str], alike: Sequence[float]
) -> bytes:
    """Draw a panel for each model, with a dot for each picture in the colour of its class, as a PNG file.

    Args:
        planes: the features of each model in two dimensions, `[picture, 2]`.
        labels: the class of each picture.
        names: of the models.
        alike: for each model, the per cent of nearest neighbours of the same class.
    """
    classes = sorted(set(labels))
    of_class = {label: np.array([other == label for other in labels]) for label in classes}

    def fill(sheet: Any, _: Palette) -> None:
        from matplotlib import colormaps

        (panels,) = plain_panels(sheet, 1, len(planes))
        for panel, plane, name, share in zip(panels, planes, names, alike, strict=True):
            for i, label in enumerate(classes):
                color = colormaps["tab10"](i) if len(classes) <= 10 else colormaps["turbo"](i / len(classes))
                panel.scatter(*plane[of_class[label]].T, s=5, color=color, label=label, linewidths=0)
            panel.set_title(name, fontsize=9)
            panel.set_xlabel(f"neighbours of one class {share:.1f}%", fontsize=8)
        if len(classes) <= 20:
            sheet.legend(
                *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=7,
                markerscale=2,
            )  # fmt: skip

    return _small_png(Drawing(fill, 3.3, 3.0 * len(planes)), 110)


def _extent(height: int, width: int, border: int) -> tuple[float, float, float, float]:
    return -border - 0.5, width + border - 0.5, height + border - 0.5, -border - 0.5


def _small_png(drawing: Drawing, dpi: int) -> bytes:
    """The figure as a PNG file in 256 colours, a third of the size without a visible difference."""
    kept = io.BytesIO()
    Image.open(io.BytesIO(drawing.png(dpi))).convert("RGB").quantize(256).save(kept, "png", optimize=True)
    return kept.getvalue()
