"""How does the cost of a step grow with the prompt, the batch and the text, ours and PEFT's?

    python benchmarks/cost_curves.py

Rows of random tokens of one length, the second half of each wanted; ours and PEFT's in turn on the same rows.
Of every curve one thing grows while the others stay (prompt 20, batch 8, text 64). The last line is JSON;
`--save` also writes it to benchmarks/results/, a file for each curve.
"""

import argparse

from common import (
    add_place,
    alternate,
    backbone_at,
    bare,
    finish,
    generation,
    made_up,
    medians,
    ours,
    peer,
    question_of,
)

CURVES = {
    "prefix_length": ("prefix", (1, 20, 100, 200, 400)),
    "soft_tokens": ("tokens", (1, 20, 100, 200, 400)),
    "batch": ("prefix", (1, 4, 16, 64)),
    "text": ("prefix", (32, 128, 512, 1024)),
}
LENGTH, BATCH, TEXT = 20, 8, 64
TEXT_BATCH = 4
"""Rows while the text grows, so that 1,024 tokens fit."""


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_place(parser)
    parser.add_argument("--curve", choices=CURVES, nargs="*", default=list(CURVES))
    parser.add_argument("--at", type=int, nargs="*", help="these points alone")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each contender")
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()
    backbone = backbone_at(options)
    task = generation(backbone)
    print(f"{'curve':<14} {'at':>5} {'ours ms':>9} {'PEFT ms':>9} {'bare ms':>9} {'PEFT / ours':>12}")
    for curve in options.curve:
        method, points = CURVES[curve]
        found = []
        for point in options.at or points:
            length = point if curve in ("prefix_length", "soft_tokens") else LENGTH
            batch = {"batch": point, "text": TEXT_BATCH}.get(curve, BATCH)
            rows = made_up(backbone, batch, point if curve == "text" else TEXT)
            steps = {
                "softprompt": ours(backbone, task, method, length),
                "peft": peer(backbone, method, length),
                "bare": bare(backbone, task),
            }
            times = medians(alternate(steps, dict.fromkeys(steps, [rows] * (options.steps + 1)), 1))
            found.append({"at": point, "seconds": times})
            cells = " ".join(f"{1e3 * times[name]:9.1f}" for name in steps)
            print(f"{curve:<14} {point:>5} {cells} {times['peft'] / times['softprompt']:12.2f}", flush=True)
        result = {"curve": curve, "method": method, "steps": options.steps, "found": found}
        finish(
            question_of("cost_curves", options, curve), result, options.dtype, options.save, options.device
        )


if __name__ == "__main__":
    main()
