"""A figure of a report: panels side by side, a legend under them, a caption."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from softprompt.plotting.style import LETTER, WIDTH, Drawing, Palette, darkened, wrapped

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """A figure with its texts, drawn when one of its file formats is first used.

    Args:
        title: in a few words.
        caption: what the figure shows, and how to read it.
        alt: text for readers who cannot see the figure.
        drawing: draws the figure.
    """

    title: str
    caption: str
    alt: str
    drawing: Drawing

    @cached_property
    def light(self) -> str:
        """SVG file in light colours."""
        return self.drawing.svg(self.title)

    @cached_property
    def dark(self) -> str:
        """SVG file in dark colours."""
        return darkened(self.light)

    @cached_property
    def png(self) -> bytes:
        """PNG file in light colours."""
        return self.drawing.png()


def panel_figure(
    title: str,
    caption: str,
    alt: str,
    panels: Sequence[tuple[str, T]],
    draw: Callable[[Any, T, Palette], Mapping[str, Any]],
    height: float,
    legend: Sequence[str] = (),
    share_rows: bool = False,
) -> Figure:
    """A figure of panels, two in a row.

    Args:
        panels: the title and the content of each.
        draw: draws content on matplotlib's axes and returns the artists of legend entries by name.
        height: of a row of panels, in inches.
        legend: the names of possible entries in order; empty names are left out.
        share_rows: whether neighbours share a vertical axis.
    """
    across = min(len(panels), 2)
    down = -(-len(panels) // across)
    names = [entry for entry in dict.fromkeys(legend) if entry]
    # As many columns as fit side by side with their symbols.
    widest = 1.25 * LETTER * max(map(len, names), default=0) + 0.63
    columns = max(1, min(3, len(names), int(WIDTH / widest)))

    def fill(sheet: Any, palette: Palette) -> None:
        handles: dict[str, Any] = {}
        shared: Any = "row" if share_rows else False
        all_axes = list(sheet.subplots(down, across, squeeze=False, sharey=shared).flat)
        for axes in all_axes[len(panels) :]:
            axes.set_visible(False)
        for axes, (heading, content) in zip(all_axes[: len(panels)], panels, strict=True):
            axes.set_title(wrapped(heading, 54 // across))
            handles |= draw(axes, content, palette)
        kept = [entry for entry in names if handles.get(entry) is not None]
        if kept:
            sheet.legend([handles[entry] for entry in kept], kept, loc="outside lower center", ncols=columns)

    room = 0.15 + 0.21 * -(-len(names) // columns) if names else 0.0
    title, alt = title[:1].upper() + title[1:], alt[:1].upper() + alt[1:]
    return Figure(title, caption, alt, Drawing(fill, height * down + room))
