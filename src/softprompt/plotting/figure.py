"""A figure of a report: panels of one kind side by side, a legend under them, and words about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from softprompt.plotting.style import DARK, LETTER, LIGHT, WIDTH, Drawing, Palette, wrapped

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """A figure with what is said of it; it is drawn when one of its forms is asked for.

    Args:
        name: of its files.
        caption: what is drawn, and how to read it.
        alt: what a reader who does not see it should know.
    """

    name: str
    title: str
    caption: str
    alt: str
    drawing: Drawing

    @cached_property
    def light(self) -> str:
        """SVG in light colours, as a file of its own."""
        return self.drawing.svg(LIGHT, self.title)

    @cached_property
    def dark(self) -> str:
        """SVG in dark colours."""
        return self.drawing.svg(DARK, self.title)

    @cached_property
    def png(self) -> bytes:
        """PNG in light colours."""
        return self.drawing.png()


def panel_figure(
    name: str,
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
        panels: the title of each, and what is drawn in it.
        draw: draws on matplotlib's axes; gives what stands in the legend, by name.
        height: of a row of panels, in inches.
        legend: the names that may stand in it, in order; empty ones are left out.
        share_rows: whether neighbours have one vertical axis, as where it names the rows.
    """
    across = min(len(panels), 2)
    down = -(-len(panels) // across)
    names = [entry for entry in dict.fromkeys(legend) if entry]
    # As many columns as surely fit beside each other with their marks.
    widest = 1.25 * LETTER * max(map(len, names), default=0) + 0.63
    columns = max(1, min(3, len(names), int(WIDTH / widest)))

    def fill(sheet: Any, palette: Palette) -> None:
        handles: dict[str, Any] = {}
        shared: Any = "row" if share_rows else False
        found = list(sheet.subplots(down, across, squeeze=False, sharey=shared).flat)
        for axes in found[len(panels) :]:
            axes.set_visible(False)
        for axes, (heading, content) in zip(found[: len(panels)], panels, strict=True):
            axes.set_title(wrapped(heading, 54 // across))
            handles |= draw(axes, content, palette)
        kept = [entry for entry in names if handles.get(entry) is not None]
        if kept:
            of_kept = [handles[entry] for entry in kept]
            # Under the panels, where nothing is drawn.
            sheet.legend(of_kept, kept, loc="outside lower center", ncols=columns)

    room = 0.15 + 0.21 * -(-len(names) // columns) if names else 0.0
    title, alt = title[:1].upper() + title[1:], alt[:1].upper() + alt[1:]
    return Figure(name, title, caption, alt, Drawing(fill, height * down + room))
