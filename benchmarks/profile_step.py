"""Where does the time of one prefix training step go: kernels, operators, the host, waiting?

    python benchmarks/profile_step.py --model tiny --device cpu             (a look at the report, seconds)
    python benchmarks/profile_step.py --model llama-1b-bytes --device cuda  (a GPU, 1.1 billion numbers)

The same rows of random tokens, right-padded, go through five steps in turn:

- `softprompt`: a prefix of 20;
- `peft`: PEFT's prefix tuning;
- `bare`: the backbone alone with our loss, back to its input vectors; ours less this is our prefix's cost;
- `bare, its own loss`: the same with the loss that the model computes itself, which is what PEFT stands on;
- `softprompt, prompt on the host` (on a GPU): the prefix left in the processor's memory.

First their times without a profiler: `wall`, until everything has ended, and `host`, until Python has started
everything (it holds waiting, where a step waits). Then torch.profiler's trace of a few more steps: `busy` is
how long at least one kernel ran, `idle` is wall less busy. Last Python's own profiler: which functions take
the host's time (those of the backward pass on a GPU run in another thread and are not seen by it).

After each part profile.json and profile.md are written to `--out`, so that a run that is cut off has left
something. The last line is JSON; `--save` also writes it to benchmarks/results/.
"""

import argparse
import cProfile
import json
import os
import pstats
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import (
    as_long_as_e2e,
    down_to_inputs,
    finish,
    optimizer_of,
    padded,
    peft_model,
    prompt_of,
    settled,
    versions,
)
from frozen import BACKBONES
from step_report import written
from step_trace import STAGE, events_of, step_of
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

import softprompt

WARMUP = 4
WHO = ("softprompt", "peft", "bare", "bare, its own loss", "softprompt, prompt on the host")
Step = Callable[[], None]


def staged(forward: Callable[[], Tensor], end: Callable[[], None] | None) -> Step:
    """A step whose stages a trace can tell apart."""

    def step() -> None:
        with record_function(f"{STAGE}forward"):
            loss = forward()
        with record_function(f"{STAGE}backward"):
            loss.backward()
        if end is not None:
            with record_function(f"{STAGE}optimizer"):
                end()

    return step


def ending(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """What follows the gradients."""

    def end() -> None:
        optimizer.step()
        optimizer.zero_grad()

    return end


def chosen_losses(backbone: softprompt.Backbone, rows: dict[str, Tensor]) -> Callable[[], Tensor]:
    """The mean loss of the labelled tokens, through `Backbone.labelled_losses`."""
    inputs = {name: rows[name] for name in ("input_ids", "attention_mask")}
    wanted = rows["labels"] != -100
    labelled = torch.zeros_like(wanted)
    labelled[:, :-1] = wanted[:, 1:]
    targets = rows["labels"][wanted]
    return lambda: backbone.labelled_losses(inputs, labelled, targets).mean()


def ours(backbone: softprompt.Backbone, rows: dict[str, Tensor], length: int, device: torch.device) -> Step:
    """Prefix tuning of this project."""
    prompt = prompt_of(backbone, "prefix", length).to(device)
    losses = chosen_losses(backbone, rows)

    def forward() -> Tensor:
        with backbone.prompted(prompt):
            return losses()

    return staged(forward, ending(optimizer_of(prompt.parameters())))


def bare(backbone: softprompt.Backbone, losses: Callable[[], Tensor]) -> Step:
    """No prompt: forward, and backward down to the input vectors."""

    def forward() -> Tensor:
        with down_to_inputs(backbone):
            return losses()

    return staged(forward, None)


def peers(backbone: softprompt.Backbone, rows: dict[str, Tensor], length: int) -> Step:
    """PEFT's prefix tuning on the same modules."""
    model = peft_model(backbone, "prefix", length)
    return staged(lambda: model(**rows).loss, ending(optimizer_of(model.parameters())))


def timed(steps: dict[str, Step], n: int) -> dict[str, dict[str, float]]:
    """Milliseconds without a profiler, medians, the contenders taking turns."""
    wall: dict[str, list[float]] = {name: [] for name in steps}
    host: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(WARMUP + n):
        for name in list(steps) if i % 2 == 0 else list(steps)[::-1]:
            start = settled()
            steps[name]()
            given = time.perf_counter() - start
            took = settled() - start
            if i >= WARMUP:
                host[name].append(1e3 * given)
                wall[name].append(1e3 * took)
    return {
        name: {"wall_ms": statistics.median(wall[name]), "host_ms": statistics.median(host[name])}
        for name in steps
    }


def traced(step: Step, n: int, layers: int, on_gpu: bool) -> dict[str, Any]:
    """A few steps under torch.profiler."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    step()
    settled()
    with profile(activities=activities) as profiler:
        for _ in range(n):
            step()
            settled()
    handle, path = tempfile.mkstemp(suffix=".json")
    os.close(handle)
    try:
        profiler.export_chrome_trace(path)
        trace = json.loads(Path(path).read_text(encoding="utf-8", errors="replace"))
    finally:
        Path(path).unlink()
    return step_of(events_of(trace), n, layers)


def functions(step: Step, n: int, most: int = 20) -> list[dict[str, Any]]:
    """Python's functions by their own time, the longest first; files are named by their last two parts."""
    profiler = cProfile.Profile()
    settled()
    for _ in range(n):
        profiler.enable()
        step()
        profiler.disable()
        settled()
    stats: dict[Any, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    ordered = sorted(stats.items(), key=lambda item: item[1][2], reverse=True)
    return [
        {
            "function": f"{'/'.join(Path(file).parts[-2:])}:{line} {name}" if line else name,
            "calls": calls / n,
            "own_ms": 1e3 * own / n,
            "with_what_it_calls_ms": 1e3 * whole / n,
        }
        for (file, line, name), (_, calls, own, whole, _) in ordered[:most]
    ]


def contenders(
    backbone: softprompt.Backbone, rows: dict[str, Tensor], length: int, who: list[str]
) -> tuple[dict[str, Step], dict[str, str]]:
    """The steps asked for, each tried once, and those that cannot be had here with the reason."""
    build: dict[str, Callable[[], Step]] = {
        "softprompt": lambda: ours(backbone, rows, length, backbone.device),
        "peft": lambda: peers(backbone, rows, length),
        "bare": lambda: bare(backbone, chosen_losses(backbone, rows)),
        "bare, its own loss": lambda: bare(backbone, lambda: backbone.model(**rows, use_cache=False).loss),
        "softprompt, prompt on the host": lambda: ours(backbone, rows, length, torch.device("cpu")),
    }
    found: dict[str, Step] = {}
    left_out: dict[str, str] = {}
    for name in who:
        if name == "softprompt, prompt on the host" and backbone.device.type == "cpu":
            continue
        # One that breaks is recorded, and the others are measured: device time is dear.
        try:
            step = build[name]()
            step()
            found[name] = step
        except Exception as error:
            traceback.print_exc()
            left_out[name] = f"{type(error).__name__}: {error}"
    return found, left_out


def main() -> None:
    """Measure, write the report, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="tiny", choices=BACKBONES)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda where a GPU is there")
    parser.add_argument("--dtype", default=None, help="bfloat16 on a GPU, float32 elsewhere, unless named")
    parser.add_argument("--batch", type=int, default=16, help="rows, as long as E2E's")
    parser.add_argument("--length", type=int, default=20, help="of the prefix, in tokens")
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each")
    parser.add_argument("--traced", type=int, default=3, help="steps of each under torch.profiler")
    parser.add_argument("--who", nargs="*", choices=WHO, default=list(WHO))
    parser.add_argument("--out", type=Path, default=Path("runs") / "profile", help="a folder for the report")
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()
    on_gpu = options.device.startswith("cuda")
    dtype = options.dtype or ("bfloat16" if on_gpu else "float32")
    options.out.mkdir(parents=True, exist_ok=True)

    backbone = BACKBONES[options.model](dtype, options.device)
    layers = backbone.model.config.num_hidden_layers
    pad = backbone.tokenizer.pad_token_id or 0
    rows = padded(as_long_as_e2e(backbone, options.batch), pad, backbone.device)
    steps, left_out = contenders(backbone, rows, options.length, options.who)
    report: dict[str, Any] = {
        "model": options.model,
        "layers": layers,
        "rows": list(rows["input_ids"].shape),
        "prefix": options.length,
        "device": torch.cuda.get_device_name(options.device) if on_gpu else options.device,
        "dtype": dtype,
        "versions": versions(),
        "left_out": left_out,
        "steps": {},
    }

    def keep() -> None:
        for name, text in (("profile.json", json.dumps(report, indent=1)), ("profile.md", written(report))):
            whole = options.out / f"{name}.part"
            whole.write_text(text + "\n", encoding="utf-8")
            whole.replace(options.out / name)

    report["steps"] = timed(steps, options.steps)
    keep()
    for name, step in steps.items():
        mine = report["steps"][name]
        mine.update(traced(step, options.traced, layers, on_gpu))
        mine["idle_ms"] = mine["wall_ms"] - mine["device_busy_ms"]
        keep()
    for name, step in steps.items():
        report["steps"][name]["functions"] = functions(step, options.traced)
        keep()
    print(written(report).split("\n## ")[0])
    finish(f"profile_step-{options.model}", report, dtype, options.save, options.device)


if __name__ == "__main__":
    main()
