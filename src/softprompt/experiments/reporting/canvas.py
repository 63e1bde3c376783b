"""What figures are drawn on: sizes, colours, and the same bytes for the same numbers."""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from softprompt.experiments.measures import label

WIDTH = 5.0
"""Of a figure, in inches; the letters stay readable when it is scaled to a column of 3.3."""

_DPI = 200

_LEGEND = 9.5
"""Size of a legend's letters, in points."""


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for; every one of them only once, so that they can be exchanged.

    Args:
        series: told apart also by people who see no red or no green (after Okabe and Ito).
    """

    ground: str
    ink: str
    muted: str
    rule: str
    series: tuple[str, ...]

    def named(self) -> dict[str, str]:
        """Each colour by its name in style sheets."""
        numbered = {f"series-{i}": color for i, color in enumerate(self.series)}
        return {"ground": self.ground, "ink": self.ink, "muted": self.muted, "rule": self.rule, **numbered}


LIGHT = Palette(
    "#fefefe", "#1f2328", "#59636e", "#d7dce1",
    ("#0072b2", "#d55e00", "#009e73", "#c0619a", "#8f6b00", "#3b95c6", "#6b5b95"),
)  # fmt: skip
DARK = Palette(
    "#14181d", "#e8ebee", "#9aa4ae", "#39424c",
    ("#5aaeea", "#ff8f57", "#35c99a", "#eba0cc", "#dcb94a", "#9bd8ff", "#b9a8e6"),
)  # fmt: skip

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Figure:
    """A figure, drawn.

    Args:
        name: of its files.
        caption: what is drawn, and how to read it.
        alt: what a reader who does not see it should know.
        svg: in light colours, as a file of its own.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    png: bytes

    @property
    def dark(self) -> str:
        """The SVG in dark colours."""
        text = self.svg
        for light, dark in zip(LIGHT.named().values(), DARK.named().values(), strict=True):
            text = text.replace(light, dark)
        return text

    @property
    def inline(self) -> str:
        """The SVG as part of a page: colours by the page's variables, and names that no other figure has."""
        text = self.svg[self.svg.index("<svg") :]
        # Words about the file, and a style that would reach beyond it; the page has both.
        text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
        for name, light in LIGHT.named().items():
            text = text.replace(light, f"var(--{name})")
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{self.name}-", text)
        return re.sub(r"<svg ", '<svg aria-hidden="true" focusable="false" ', text, count=1)


def series(i: int) -> dict[str, Any]:
    """Colour, marker and dash of the i-th of several series; repeats only after many."""
    n = len(LIGHT.series)
    return {
        "color": LIGHT.series[i % n],
        "marker": MARKERS[(i + 2 * (i // n)) % len(MARKERS)],
        "linestyle": DASHES[(i // n) % len(DASHES)],
    }


def named(measures: Iterable[str]) -> str:
    """A measure's name at the head of a figure; `scores` for several."""
    first, *others = dict.fromkeys(measures)
    return "scores" if others else label(first, direction=False)


def capital(text: str) -> str:
    """The text with a capital at its head."""
    return text[:1].upper() + text[1:]


def wrapped(text: str, width: int = 22) -> str:
    """A long name on several lines."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=True)) or text


@contextmanager
def _drawing() -> Iterator[None]:
    import matplotlib

    settings: dict[Any, Any] = {
        **matplotlib.rcParamsDefault,
        "font.size": 10.0, "axes.titlesize": 10.5, "legend.fontsize": _LEGEND,
        "text.color": LIGHT.ink, "axes.labelcolor": LIGHT.ink, "axes.titlecolor": LIGHT.ink,
        "axes.edgecolor": LIGHT.muted, "xtick.color": LIGHT.muted, "ytick.color": LIGHT.muted,
        "xtick.labelcolor": LIGHT.ink, "ytick.labelcolor": LIGHT.ink,
        "grid.color": LIGHT.rule, "grid.linewidth": 0.6, "axes.grid": True, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False,
        "axes.facecolor": LIGHT.ground, "figure.facecolor": LIGHT.ground, "savefig.facecolor": LIGHT.ground,
        "legend.frameon": False, "lines.linewidth": 1.5, "lines.markersize": 4.5,
        # Names in the file follow from what is drawn, so that the same numbers are the same bytes.
        "svg.hashsalt": "softprompt", "svg.fonttype": "path",
    }  # fmt: skip
    # The back end is nobody's business here, and naming it would load one.
    settings = {key: value for key, value in settings.items() if not key.startswith("backend")}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def drawn(
    name: str, title: str, caption: str, alt: str, height: float, draw: Callable[[Any], None]
) -> Figure:
    """Draw a figure and keep it as SVG and PNG.

    Args:
        height: in inches.
        draw: fills an empty matplotlib figure.
    """
    with _drawing():
        # The object interface needs no display and leaves the caller's pyplot alone.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Sheet
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        sheet = Sheet(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=0.07))
        FigureCanvasAgg(sheet)
        draw(sheet)
        text, picture = io.StringIO(), io.BytesIO()
        sheet.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
        sheet.savefig(picture, format="png", dpi=_DPI, metadata={"Software": None})
    return Figure(name, capital(title), caption, capital(alt), text.getvalue(), picture.getvalue())


def panels(sheet: Any, n: int, titles: Sequence[str], share_rows: bool) -> list[Any]:
    """Panels side by side, two in a row, each under its title.

    Args:
        share_rows: whether neighbours have one vertical axis, as where it names the rows.
    """
    across = min(n, 2)
    found = sheet.subplots(-(-n // across), across, squeeze=False, sharey="row" if share_rows else False)
    flat = list(found.flat)
    for panel in flat[n:]:
        panel.set_visible(False)
    for panel, title in zip(flat, titles, strict=False):
        if title:
            panel.set_title(wrapped(title, 54 // across))
    return flat[:n]


def legend(sheet: Any, handles: Sequence[Any], names: Sequence[str]) -> None:
    """One legend under all panels, where nothing is drawn; none for a single series without a name."""
    kept = [(handle, name) for handle, name in zip(handles, names, strict=True) if name]
    if kept:
        columns = _legend_columns([name for _, name in kept])
        sheet.legend(*zip(*kept, strict=True), loc="outside lower center", ncols=columns)


def legend_height(names: Sequence[str]) -> float:
    """Room for `legend` in inches."""
    kept = [name for name in names if name]
    if not kept:
        return 0.0
    return 0.15 + 0.21 * -(-len(kept) // _legend_columns(kept))


def _legend_columns(names: Sequence[str]) -> int:
    """As many columns as fit beside each other, up to three."""
    with _drawing():
        from matplotlib.textpath import TextPath

        widths = [TextPath((0, 0), name, size=_LEGEND).get_extents().width for name in names]
    beside = 4.8 * _LEGEND  # the mark, and the space around it
    for n in (3, 2):
        # The legend splits its entries into columns in the same way.
        columns = [max(some) + beside for some in np.array_split(widths, n) if len(some)]
        if len(columns) == n and sum(columns) <= 72 * WIDTH:
            return n
    return 1
