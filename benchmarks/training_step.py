"""How fast is a training step, and how much memory does it take, beside PEFT?

    python benchmarks/training_step.py
    python benchmarks/training_step.py --backbone llama-1b --device cuda     (a GPU, 1.1 billion numbers)

One process runs this project and PEFT in turn on the same backbone, the same E2E batches and
the same precision, and compares medians; peak memory is measured in a process for each. `--only` asks some
of the questions alone. The last line is JSON; `--save` also writes it to benchmarks/results/.
"""

import argparse
import json
from typing import Any

from common import (
    BATCH,
    add_place,
    alternate,
    backbone_at,
    bare,
    examples,
    finish,
    in_a_process_of_its_own,
    medians,
    ours,
    peak_bytes,
    peer,
    question_of,
    same_place,
    shuffled,
)

from softprompt.config import TrainingSettings
from softprompt.training.loop.schedule import plan

WARMUP = 2
AGAINST_PEFT = {
    "prefix": ("prefix", 20, "prefix 20", ">= 1.2"),
    "tokens": ("tokens", 100, "100 soft tokens", ">= 2.2"),
    "p_tuning": ("p_tuning", 20, "p-tuning encoder, 20 tokens", ">= 1.3"),
}
AGAINST_BARE = {"bare20": (20, "<= 1.05"), "bare100": (100, "<= 1.15")}
MEMORY = {"prefix": "<= 0.75", "tokens": "<= 0.55"}
QUESTIONS = (*AGAINST_BARE, *AGAINST_PEFT, "own", "memory")


def memory_child(who: str, method: str, place: argparse.Namespace) -> None:
    """Run a few steps of one contender and print the peak memory of this process."""
    backbone = backbone_at(place)
    task, encoded = examples(backbone, 1000, place.rows)
    length = AGAINST_PEFT[method][1]
    step = peer(backbone, method, length) if who == "peft" else ours(backbone, task, method, length)
    for batch in shuffled(len(encoded), 0)[:3]:
        step([encoded[i] for i in batch])
    print(json.dumps({"peak_bytes": peak_bytes()}))


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_place(parser)
    parser.add_argument(
        "--rows", choices=["e2e", "random"], default="e2e", help="random: as long as E2E's, and needs no data"
    )
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each contender")
    parser.add_argument(
        "--own-batches", type=int, default=1000, help="time about this many of them, evenly spaced by length"
    )
    parser.add_argument("--only", nargs="*", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        memory_child(*options.child, options)
        return

    backbone = backbone_at(options)
    task, encoded = examples(backbone, 1000, options.rows)
    plain = [[encoded[i] for i in batch] for batch in shuffled(len(encoded), 0)]
    same = plain[: options.steps + WARMUP]
    ratios: dict[str, float] = {}
    detail: dict[str, Any] = {}

    def note(question: str, value: float, target: str) -> None:
        ratios[question] = round(value, 3)
        print(f"{question:<62} {value:6.3f}   {target}", flush=True)

    print(f"{'question':<62} {'ratio':>6}   target")
    for name, (length, target) in AGAINST_BARE.items():
        if name in options.only:
            steps = {"softprompt": ours(backbone, task, "prefix", length), "bare": bare(backbone, task)}
            found = medians(alternate(steps, dict.fromkeys(steps, same), WARMUP))
            detail[f"{name}_step_s"] = found
            note(f"prefix {length}: step / bare backbone's step", found["softprompt"] / found["bare"], target)
    for name, (method, length, title, target) in AGAINST_PEFT.items():
        if name in options.only:
            steps = {
                "softprompt": ours(backbone, task, method, length),
                "peft": peer(backbone, method, length),
            }
            found = medians(alternate(steps, dict.fromkeys(steps, same), WARMUP))
            detail[f"{name}_step_s"] = found
            question = f"{title}: step rate / PEFT's, same batches"
            note(question, found["peft"] / found["softprompt"], target)

    if "own" in options.only:
        settings = TrainingSettings(epochs=1, batch_size=BATCH)
        whole = [b for b in plan([e.length for e in encoded], settings, 0) if len(b) == BATCH]
        by_length = sorted(whole, key=lambda batch: max(encoded[i].length for i in batch))
        every = max(1, len(whole) // options.own_batches)
        own = [[encoded[i] for i in batch] for batch in by_length[every // 2 :: every]]
        steps = {"softprompt": ours(backbone, task, "prefix", 20), "peft": peer(backbone, "prefix", 20)}
        seconds = alternate(steps, {"softprompt": own, "peft": plain[every // 2 :: every]}, 0)
        rates = {name: BATCH * len(times) / sum(times) for name, times in seconds.items()}
        detail["prefix_examples_per_s"] = {**rates, "batches": len(seconds["peft"])}
        question = "prefix 20: examples/s / PEFT's, own batching, 1,000 examples"
        note(question, rates["softprompt"] / rates["peft"], ">= 1.6")

    if "memory" in options.only:
        for method, target in MEMORY.items():
            peaks = {
                who: in_a_process_of_its_own(
                    __file__, "--child", who, method, "--rows", options.rows, *same_place(options)
                )["peak_bytes"]
                for who in ("softprompt", "peft")
            }
            detail[f"{method}_peak_bytes"] = peaks
            title = AGAINST_PEFT[method][2]
            note(f"{title}: peak memory / PEFT's", peaks["softprompt"] / peaks["peft"], target)

    part = [] if options.only == list(QUESTIONS) else options.only
    result = {"ratios": ratios, "detail": detail, "steps": options.steps, "rows": options.rows}
    finish(question_of("training_step", options, *part), result, options.dtype, options.save, options.device)


if __name__ == "__main__":
    main()
