"""Whether probabilities can be believed, as a picture."""

from collections.abc import Mapping
from typing import Any

from softprompt.plotting.style import Drawing, Palette


def draw_reliability(measured: Mapping[str, Any]) -> bytes:
    """Draw a reliability diagram (1706.04599, figure 1) as a PNG file.

    Args:
        measured: what `softprompt.metrics.calibration_of` gives; bars are shares of right answers by bin of
            the probability, and on the dotted line both are equal.
    """
    bins = measured["bins"]

    def fill(sheet: Any, palette: Palette) -> None:
        panel, counts = sheet.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        middles = [50 * (row["from"] + row["to"]) for row in bins]
        width = 100 * (bins[0]["to"] - bins[0]["from"]) * 0.92
        color = palette.series[0]
        panel.bar(middles, [row["accuracy"] for row in bins], width=width, color=color)
        panel.plot([0, 100], [0, 100], linestyle=":", color=palette.ink)
        panel.set_ylim(0, 100)
        panel.set_xlim(0, 100)
        panel.set_ylabel("right answers, %")
        panel.set_title(
            f"calibration error {measured['ece']:.1f}: says {measured['confidence']:.1f}%, "
            f"is right in {measured['accuracy']:.1f}%",
            fontsize=9,
        )
        counts.bar(middles, [row["answers"] for row in bins], width=width, color=color)
        counts.set_ylabel("answers")
        counts.set_xlabel("probability of the answer, %")

    return Drawing(fill, 4.6, 5.0).png(dpi=150)
