"""Draw the kept results of cost_curves.py and wall_time.py.

python benchmarks/figures.py        writes docs/results/performance-*.png from benchmarks/results/
"""

import json
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

HERE = Path(__file__).parent
RESULTS, DOCS = HERE / "results", HERE.parent / "docs" / "results"
CURVES = {
    "prefix_length": ("prefix: tokens", "batch 8, text 64"),
    "soft_tokens": ("soft tokens: tokens", "batch 8, text 64"),
    "batch": ("batch: rows", "prefix 20, text 64"),
    "text": ("text: tokens of each row", "prefix 20, batch 4"),
}
NAMES = {"softprompt": "softprompt", "peft": "PEFT", "bare": "backbone without a prompt"}
OURS = {"wall_time-ours": "softprompt", "wall_time-ours-draws8": "softprompt, best of 8 draws"}
STYLES = {"softprompt": "o-", "peft": "s--", "bare": "^:"}


def kept(question: str) -> list[dict[str, Any]]:
    """The kept results of a question."""
    return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(RESULTS.glob(f"{question}-cpu*.json"))]


def cost_curves() -> Figure:
    """Seconds of a step against each of the things that grow, as far as they are kept."""
    there = {curve: found[0] for curve in CURVES if (found := kept(f"cost_curves-{curve}"))}
    figure = Figure(figsize=(4.5 * len(there), 3.6), layout="constrained")
    panels = figure.subplots(1, len(there), squeeze=False)[0]
    for panel, (curve, result) in zip(panels, there.items(), strict=True):
        label, beside = CURVES[curve]
        at = [point["at"] for point in result["found"]]
        for name, style in STYLES.items():
            seconds = [point["seconds"][name] for point in result["found"]]
            panel.plot(at, seconds, style, ms=4, label=NAMES[name])
        panel.set(xlabel=label, ylabel="seconds of a step", title=beside, ylim=(0, None))
        panel.grid(alpha=0.3)
    panels[0].legend()
    return figure


def wall_time() -> Figure:
    """Our development loss against seconds, and where PEFT's runs ended."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    panel = figure.subplots()
    for question, label in OURS.items():
        for mine in kept(question):
            seconds, losses = ([point[what] for point in mine["curve"]] for what in ("seconds", "loss"))
            panel.plot(seconds, losses, "o-", ms=4, label=label)
    for who, marker in (("peft-random", "s"), ("peft-text", "^")):
        (theirs,) = kept(f"wall_time-{who}")
        label = f"{who}, after {theirs['epochs']} epochs"
        (drawn,) = panel.plot(theirs["seconds"], theirs["loss"], marker, ms=7, label=label)
        panel.axhline(theirs["loss"], ls=":", color=drawn.get_color())
    panel.set(xlabel="seconds of training steps", ylabel="development loss", yscale="log", xlim=(-5, None))
    panel.set_yticks(ticks := (1.3, 1.5, 2, 2.5, 3, 3.5), labels=map(str, ticks))
    panel.minorticks_off()
    panel.grid(alpha=0.3)
    panel.legend()
    return figure


def main() -> None:
    """Write the figures."""
    for name, figure in (("curves", cost_curves()), ("wall-time", wall_time())):
        FigureCanvasAgg(figure)
        path = DOCS / f"performance-{name}.png"
        figure.savefig(path, dpi=110, metadata={"Software": None})
        print(path.relative_to(HERE.parent).as_posix())


if __name__ == "__main__":
    main()
