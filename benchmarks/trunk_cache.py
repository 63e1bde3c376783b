"""What does the trunk cache buy: prefix on the last third of the layers, beside PEFT's full-depth prefix?

    python benchmarks/trunk_cache.py

One process trains in turn, on the same backbone and the same E2E pairs, PEFT's prefix in all
layers and this project's prefix in the last third, with the trunk cache and without, and compares medians.
The first epoch fills the cache and is not timed; its cost is told beside. Peak memory is measured in a
process for each. The last line is JSON; `--save` also writes it to benchmarks/results/.
"""

import argparse
import json
import os
import random
import statistics
import time

from common import (
    BATCH,
    Step,
    add_place,
    backbone_at,
    examples,
    finish,
    in_a_process_of_its_own,
    peak_bytes,
    peer,
    question_of,
    same_place,
    settled,
    shuffled,
    step_of,
)

import softprompt
from softprompt.backbones import Backbone
from softprompt.backbones.activation_cache import ActivationCache
from softprompt.backbones.activation_cache.store import ActivationStore
from softprompt.prompts.prompt import Prompt
from softprompt.tasks.examples import Example
from softprompt.tasks.language.generation import GenerationTask

WHO = ("peft, all layers", "softprompt, all layers", "last third", "last third, cached")
TARGET = ">= 4"


def prefix(backbone: Backbone, layers: str) -> Prompt:
    """Prefix 20 at the size at which PEFT's begins."""
    prompt = softprompt.prefix_tuning(
        backbone, 20, reparameterization=None, initialization="random", layers=layers
    )
    for block in prompt.blocks:
        block.flat.data.mul_(0.02)
    return prompt.to(backbone.device)


def ratio(seconds: dict[str, list[float]], top: str, bottom: str) -> float:
    """Ratio of medians."""
    return statistics.median(seconds[top]) / statistics.median(seconds[bottom])


def contender(who: str, backbone: Backbone, task: GenerationTask) -> tuple[Step, ActivationCache | None]:
    """One of `WHO`, and its cache."""
    if who.startswith("peft"):
        return peer(backbone, "prefix", 20), None
    n_layers = len(backbone.sites)
    prompt = prefix(backbone, "all" if who.endswith("all layers") else f"last:{n_layers // 3}")
    cache = (
        ActivationCache(backbone, [prompt], ActivationStore(2_000_000_000))
        if who.endswith("cached")
        else None
    )
    plain = step_of(backbone, task, prompt)
    if cache is None:
        return plain, None

    def cached(batch: list[Example]) -> None:
        with backbone.cached(cache):
            plain(batch)

    return cached, cache


def epoch(encoded: list[Example], seed: int) -> list[list[Example]]:
    """One epoch in a plain data loader's random order, the same for all."""
    return [[encoded[i] for i in batch] for batch in shuffled(len(encoded), seed)]


def take_turns(
    steps: dict[str, Step], batches: list[list[Example]]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of every step on the clock, and of the processor: these hardly feel a busy machine."""
    clock: dict[str, list[float]] = {who: [] for who in steps}
    cpu: dict[str, list[float]] = {who: [] for who in steps}
    for batch in batches:
        for who, step in steps.items():
            start, start_cpu = settled(), time.process_time()
            step(batch)
            clock[who].append(settled() - start)
            cpu[who].append(time.process_time() - start_cpu)
    return clock, cpu


def child(who: str, place: argparse.Namespace) -> None:
    """Two epochs of one contender; prints the peak memory of this process."""
    backbone = backbone_at(place)
    task, encoded = examples(backbone, place.examples)
    step, _ = contender(who, backbone, task)
    for seed in (0, 1):
        for batch in epoch(encoded, seed):
            step(batch)
    print(json.dumps({"peak_bytes": peak_bytes()}))


def peak_of(who: str, options: argparse.Namespace) -> int:
    """Peak memory of one contender in a process of its own."""
    again = (*same_place(options), "--examples", str(options.memory_examples))
    return in_a_process_of_its_own(__file__, "--child", who, *again)["peak_bytes"]


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_place(parser)
    parser.add_argument("--examples", type=int, default=192, help="E2E pairs")
    parser.add_argument("--epochs", type=int, default=1, help="timed epochs after the first")
    parser.add_argument("--memory-examples", type=int, default=48, help="E2E pairs of the memory runs")
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory runs")
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    parser.add_argument("--child", choices=WHO, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options)
        return

    backbone = backbone_at(options)
    task, encoded = examples(backbone, options.examples)
    random.Random(0).shuffle(encoded)
    made = {who: contender(who, backbone, task) for who in WHO}
    steps = {who: step for who, (step, _) in made.items()}
    cache = made["last third, cached"][1]
    assert cache is not None
    n_whole = len(encoded) - len(encoded) % BATCH
    encoded = encoded[:n_whole]  # so that every epoch sees the same pairs

    started = settled()
    for batch in epoch(encoded, 0):
        steps["last third, cached"](batch)
    first_s = settled() - started
    for who in WHO[:-1]:
        steps[who](epoch(encoded, 0)[0])

    batches = [batch for seed in range(1, options.epochs + 1) for batch in epoch(encoded, seed)]
    seconds, cpu = take_turns(steps, batches)
    assert cache.counts.computed == n_whole, "the timed epochs were to find every row"
    medians = {who: statistics.median(times) for who, times in seconds.items()}
    head = f"prefix 20, batch {BATCH}"
    print(f"{head:<26} {'s/step':>8} {'examples/s':>11} {'x PEFT':>7} {'CPU x':>7}")
    for who in WHO:
        faster = f"{ratio(seconds, WHO[0], who):7.2f} {ratio(cpu, WHO[0], who):7.2f}"
        print(f"{who:<26} {medians[who]:8.3f} {BATCH / medians[who]:11.1f} {faster}", flush=True)
    speedup = ratio(seconds, WHO[0], WHO[-1])
    print(f"examples/s of the cached last third / PEFT's: {speedup:.2f}   target {TARGET}", flush=True)
    peaks = {} if options.no_memory else {who: peak_of(who, options) for who in WHO}
    for who, peak in peaks.items():
        print(f"{who:<26} {peak / 1e6:8,.0f} MB at most")
    result = {
        "ratio": round(speedup, 3),
        "ratios_to_peft": {who: round(ratio(seconds, WHO[0], who), 3) for who in WHO},
        "cpu_ratios_to_peft": {who: round(ratio(cpu, WHO[0], who), 3) for who in WHO},
        "cached_to_uncached": round(ratio(seconds, WHO[2], WHO[3]), 3),
        "step_s": {who: round(median, 4) for who, median in medians.items()},
        "step_cpu_s": {who: round(statistics.median(times), 4) for who, times in cpu.items()},
        "steps": len(batches),
        "first_epoch_step_s": round(first_s / (n_whole / BATCH), 4),
        "peak_bytes": peaks,
        "cache": {
            "layers_below": cache.n_below,
            "layers": cache.n_layers,
            "rows": cache.states.n_rows,
            "bytes": cache.states.n_bytes,
        },
        "examples": n_whole,
        "memory_examples": options.memory_examples,
        "load": round(os.getloadavg()[2], 2) if hasattr(os, "getloadavg") else None,
    }
    finish(question_of("trunk_cache", options), result, options.dtype, options.save, options.device)


if __name__ == "__main__":
    main()
