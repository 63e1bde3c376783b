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
    (mine,) = kept("wall_time-ours")
    panel.plot(
        [p["seconds"] for p in mine["curve"]],
        [p["loss"] for p in mine["curve"]],
        "o-",
        ms=4,
        label="softprompt",
    )
    for who, marker in (("peft-random", "s"), ("peft-text", "^")):
        (theirs,) = kept(f"wall_time-{who}")
        ends = [0.0, theirs["seconds"]], [theirs["first_loss"], theirs["loss"]]
        panel.plot(*ends, marker + ":", ms=6, label=f"{who}: start and end")
    panel.set(xlabel="seconds of training steps", ylabel="development loss", yscale="log")
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
