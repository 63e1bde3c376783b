"""The one style of all figures: colours, sizes, letters, and the same bytes for the same numbers."""

import io
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

WIDTH = 5.0
"""Of a figure of a report, in inches; the letters stay readable when it is scaled to a column of 3.3."""

LETTER = 0.0825
"""How wide a letter of the usual size is in inches, at the most that words come to on average."""


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for.

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

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Drawing:
    """A figure, drawn anew for each form that is asked for.

    Args:
        fill: draws on an empty matplotlib figure, in the colours of a palette.
        width: in inches, as the height.
    """

    fill: Callable[[Any, Palette], None]
    height: float
    width: float = WIDTH

    @contextmanager
    def sheet(self, palette: Palette = LIGHT) -> Iterator[Any]:
        """The matplotlib figure; the style holds inside of the context, so it is saved there."""
        import matplotlib

        with matplotlib.rc_context(_settings(palette)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            # The object interface needs no display and leaves the caller's pyplot alone.
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
            from matplotlib.layout_engine import ConstrainedLayoutEngine

            sheet = Figure(figsize=(self.width, self.height), layout=ConstrainedLayoutEngine(w_pad=0.07))
            FigureCanvasAgg(sheet)
            self.fill(sheet, palette)
            yield sheet

    def svg(self, palette: Palette = LIGHT, title: str = "") -> str:
        """The figure as a file of its own."""
        text = io.StringIO()
        with self.sheet(palette) as sheet:
            sheet.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
        return text.getvalue()

    def png(self, dpi: int = 200) -> bytes:
        """The figure in light colours, without the version of the library that drew it."""
        picture = io.BytesIO()
        with self.sheet() as sheet:
            sheet.savefig(picture, format="png", dpi=dpi, metadata={"Software": None})
        return picture.getvalue()


def _settings(palette: Palette) -> dict[Any, Any]:
    """matplotlib's defaults, whatever the user's own are, with this style over them."""
    import matplotlib
    from cycler import cycler

    return {
        # Naming a backend would load one.
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
        # Names in the file follow from what is drawn, so that the same numbers are the same bytes.
        "svg.hashsalt": "softprompt", "svg.fonttype": "path",
    }  # fmt: skip


def series(i: int) -> dict[str, Any]:
    """Colour, marker and dash of the i-th of several series; repeats only after many."""
    n = len(LIGHT.series)
    return {
        "color": f"C{i % n}",
        "marker": _MARKERS[(i + 2 * (i // n)) % len(_MARKERS)],
        "linestyle": _DASHES[(i // n) % len(_DASHES)],
    }


def plain_panels(sheet: Any, rows: int, columns: int) -> Any:
    """Panels for pictures, `[row, column]`: no ticks, no grid, no frame missing on two sides."""
    found = sheet.subplots(rows, columns, squeeze=False)
    for panel in found.flat:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(True)
    return found


def wrapped(text: str, width: int = 22) -> str:
    """A long name on several lines."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=True)) or text
