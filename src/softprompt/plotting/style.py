"""The style of all figures: colours, sizes and fonts; the same numbers give the same bytes."""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from softprompt.plotting.fonts import set_fonts

WIDTH = 5.0
"""Width of a report's figure in inches; text stays readable if a paper shrinks it to 3.3 inches."""

LETTER = 0.0825
"""Width of a letter in inches, an upper bound of the mean over a word."""


@dataclass(frozen=True)
class Palette:
    """Colours by their use.

    Args:
        series: colours of lines, distinguishable with red-green colour blindness (after Okabe and Ito).
    """

    ground: str
    ink: str
    muted: str
    rule: str
    series: tuple[str, ...]

    def named(self) -> dict[str, str]:
        """Each colour by its name."""
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

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Drawing:
    """A figure, laid out anew for each file format.

    Args:
        fill: draws on an empty matplotlib figure, with the colours of a palette.
        height: in inches.
        width: in inches.
    """

    fill: Callable[[Any, Palette], None]
    height: float
    width: float = WIDTH

    @contextmanager
    def sheet(self) -> Iterator[Any]:
        """The matplotlib figure in light colours; the style applies within this context only."""
        import matplotlib

        with matplotlib.rc_context(_settings()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            # The object interface needs no display and does not change the caller's pyplot.
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
            from matplotlib.layout_engine import ConstrainedLayoutEngine

            sheet = Figure(figsize=(self.width, self.height), layout=ConstrainedLayoutEngine(w_pad=0.07))
            FigureCanvasAgg(sheet)
            self.fill(sheet, LIGHT)
            _without_formulas(sheet)
            set_fonts(_texts(sheet))
            yield sheet

    def svg(self, title: str = "") -> str:
        """The figure as an SVG file in light colours."""
        text = io.StringIO()
        with self.sheet() as sheet:
            sheet.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
        return text.getvalue()

    def png(self, dpi: int = 200) -> bytes:
        """The figure as a PNG file in light colours, without the version of matplotlib."""
        picture = io.BytesIO()
        with self.sheet() as sheet:
            sheet.savefig(picture, format="png", dpi=dpi, metadata={"Software": None})
        return picture.getvalue()


def darkened(svg: str) -> str:
    """An SVG file in light colours with the dark colour in place of each."""
    dark = dict(zip(LIGHT.named().values(), DARK.named().values(), strict=True))
    return re.sub("#[0-9a-f]{6}\\b", lambda color: dark.get(color[0], color[0]), svg)


def _texts(sheet: Any) -> list[Any]:
    from matplotlib.text import Text

    return list(sheet.findobj(Text))


def _without_formulas(sheet: Any) -> None:
    """Take names with dollar signs as they are; powers of ten along a logarithmic axis stay formulas."""
    from matplotlib.text import Text

    for text in sheet.findobj(Text):
        text.set_parse_math(False)
    for axis in (axis for panel in sheet.axes for axis in (panel.xaxis, panel.yaxis)):
        if axis.get_scale() == "log":
            for label in axis.get_ticklabels(which="both"):
                label.set_parse_math(True)


def _settings() -> dict[Any, Any]:
    """matplotlib's defaults (not the user's settings) with this style."""
    import matplotlib
    from cycler import cycler

    palette = LIGHT

    return {
        # Setting a backend would load it.
        **{key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")},
        "font.size": 10.0, "axes.titlesize": 10.5, "legend.fontsize": 9.5,
        "text.color": palette.ink, "axes.labelcolor": palette.ink, "axes.titlecolor": palette.ink,
        "axes.edgecolor": palette.muted, "xtick.color": palette.muted, "ytick.color": palette.muted,
        "xtick.labelcolor": palette.ink, "ytick.labelcolor": palette.ink,
        "grid.color": palette.rule, "grid.linewidth": 0.6, "axes.grid": True, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "axes.prop_cycle": cycler(color=palette.series),
        "axes.facecolor": palette.ground, "figure.facecolor": palette.ground,
        "savefig.facecolor": palette.ground,
        "legend.frameon": False, "lines.linewidth": 1.5, "lines.markersize": 4.5,
        # Identifiers in the file are random without a salt.
        "svg.hashsalt": "softprompt", "svg.fonttype": "path",
    }  # fmt: skip


def series(i: int) -> dict[str, Any]:
    """Colour, marker and dash of the i-th of several series."""
    n = len(LIGHT.series)
    return {
        "color": f"C{i % n}",
        "marker": _MARKERS[(i + 2 * (i // n)) % len(_MARKERS)],
        "linestyle": _DASHES[(i // n) % len(_DASHES)],
    }


def plain_panels(sheet: Any, rows: int, columns: int) -> Any:
    """Panels for pictures, `[row, column]`: without ticks, with a frame on all sides."""
    panels = sheet.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(True)
    return panels


def wrapped(text: str, width: int = 22) -> str:
    """A long name on several lines."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=True)) or text
