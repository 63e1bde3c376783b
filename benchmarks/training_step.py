"""How fast is a training step, and how much memory does it take, beside PEFT?

    python benchmarks/training_step.py

One process runs this project and PEFT in turn on the same backbone (SmolLM2-135M), the same E2E batches and
the same precision, and compares medians; peak memory is measured in a process for each. The last line is
JSON; `--save` also writes it to benchmarks/results/.
"""

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.config import DataSettings, DecodingSettings, GenerationSettings, TrainingSettings
from softprompt.data import load
from softprompt.tasks.generation import GenerationTask
from softprompt.tasks.task import IGNORED, Example
from softprompt.training.batches import plan

BATCH = 16
Step = Callable[[list[Example]], None]


def examples(backbone: Backbone, n: int) -> tuple[GenerationTask, list[Example]]:
    """The first n of the shuffled E2E development pairs, encoded by the generation task."""
    data = DataSettings(format="e2e", train=Path("e2e/devset.csv"), train_size=n)
    task = GenerationTask(backbone, GenerationSettings(), DecodingSettings())
    return task, [task.encode(record) for record in load(data).train]


def padded(batch: list[Example], pad: int) -> dict[str, Tensor]:
    """A right-padded batch with labels, as transformers' collators make it."""
    longest = max(len(example.input_ids) for example in batch)

    def rows(values: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([row + [fill] * (longest - len(row)) for row in values])

    ids = [list(example.input_ids) for example in batch]
    return {
        "input_ids": rows(ids, pad),
        "attention_mask": rows([[1] * len(row) for row in ids], 0),
        "labels": rows([list(example.labels) for example in batch], IGNORED),
    }


def ours(backbone: Backbone, task: GenerationTask, method: str) -> Step:
    """A step of this project: prefix 20 without reparameterisation, or 100 soft tokens."""
    if method == "prefix":
        prompt = softprompt.prefix_tuning(backbone, 20, reparameterization=None, initialization="random")
        prompt.blocks[0].flat.data.mul_(0.02)  # the size at which PEFT's prefix begins
    else:
        prompt = softprompt.prompt_tuning(backbone, 100)
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=1e-3, weight_decay=0.0)

    def step(batch: list[Example]) -> None:
        with backbone.prompted(prompt):
            loss = task.loss(batch) / sum(example.n_targets for example in batch)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def bare(backbone: Backbone, task: GenerationTask) -> Step:
    """The backbone's own step without any prompt: forward, and backward down to its input vectors."""
    embeddings = backbone.model.get_input_embeddings()

    def leaf(module: torch.nn.Module, args: object, output: Tensor) -> Tensor:
        return output.detach().requires_grad_()

    def step(batch: list[Example]) -> None:
        handle = embeddings.register_forward_hook(leaf)
        try:
            (task.loss(batch) / sum(example.n_targets for example in batch)).backward()
        finally:
            handle.remove()

    return step


def peer(backbone: Backbone, pad: int, method: str) -> Step:
    """PEFT's step, as its documentation shows it; the backbone's modules are shared, not copied."""
    import peft

    kind = {"task_type": "CAUSAL_LM"}
    if method == "prefix":
        config = peft.PrefixTuningConfig(**kind, num_virtual_tokens=20)
    else:
        config = peft.PromptTuningConfig(**kind, num_virtual_tokens=100)
    model = peft.get_peft_model(backbone.model, config)
    model.train()
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.0
    )

    def step(batch: list[Example]) -> None:
        model(**padded(batch, pad)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def shuffled(n: int, seed: int) -> list[list[int]]:
    """Batches in random order, what a plain data loader gives."""
    order = list(range(n))
    random.Random(seed).shuffle(order)
    return [order[i : i + BATCH] for i in range(0, n - n % BATCH, BATCH)]


def timed(step: Step, batch: list[Example]) -> float:
    """Seconds of one step."""
    start = time.perf_counter()
    step(batch)
    return time.perf_counter() - start


def alternate(
    steps: dict[str, Step], batches: dict[str, list[list[Example]]], warmup: int
) -> dict[str, list[float]]:
    """Seconds of every step, the contenders taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(min(map(len, batches.values()))):
        for name, step in steps.items():
            took = timed(step, batches[name][i])
            if i >= warmup:
                seconds[name].append(took)
    return seconds


def peak_bytes() -> int:
    """Peak resident memory of this process."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":
        # Not getrusage: its figure outlives exec, so a child would report its parent's peak.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def memory_child(who: str, method: str, dtype: str, n_steps: int) -> None:
    """Run a few steps of one contender and print the peak memory of this process."""
    backbone = softprompt.load_backbone("smollm2-135m", dtype=dtype, device="cpu")
    task, encoded = examples(backbone, 1000)
    pad = backbone.tokenizer.pad_token_id or 0
    step = peer(backbone, pad, method) if who == "peft" else ours(backbone, task, method)
    for batch in shuffled(len(encoded), 0)[:n_steps]:
        step([encoded[i] for i in batch])
    print(json.dumps({"peak_bytes": peak_bytes()}))


def memory(who: str, method: str, dtype: str, n_steps: int) -> int:
    """Peak memory of one contender in a process of its own."""
    command = [
        sys.executable,
        __file__,
        "--child",
        who,
        "--method",
        method,
        "--dtype",
        dtype,
        "--steps",
        str(n_steps),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["peak_bytes"]


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each contender")
    parser.add_argument("--examples", type=int, default=1000, help="for each contender's own batching")
    parser.add_argument(
        "--own-batches", type=int, default=1000, help="time about this many of them, evenly spaced by length"
    )
    parser.add_argument("--only", choices=["steps", "own", "memory"], help="one kind of question alone")
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    parser.add_argument("--child", choices=["softprompt", "peft"], help=argparse.SUPPRESS)
    parser.add_argument("--method", default="prefix", choices=["prefix", "tokens"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        memory_child(options.child, options.method, options.dtype, options.steps)
        return

    backbone = softprompt.load_backbone("smollm2-135m", dtype=options.dtype, device="cpu")
    task, encoded = examples(backbone, options.examples)
    pad = backbone.tokenizer.pad_token_id or 0
    warmup = 2
    plain = [[encoded[i] for i in batch] for batch in shuffled(len(encoded), 0)]
    same = plain[: options.steps + warmup]
    rows: list[tuple[str, float, str]] = []

    def note(question: str, value: float, target: str) -> None:
        rows.append((question, value, target))
        print(f"{question:<62} {value:6.2f}   {target}", flush=True)

    print(f"{'question':<62} {'ratio':>6}   target")
    detail: dict[str, dict[str, float]] = {}
    prefix = {
        "softprompt": ours(backbone, task, "prefix"),
        "bare": bare(backbone, task),
        "peft": peer(backbone, pad, "prefix"),
    }
    both = {name: prefix[name] for name in ("softprompt", "peft")}
    if options.only in (None, "steps"):
        pair = {name: prefix[name] for name in ("softprompt", "bare")}
        seconds = alternate(pair, dict.fromkeys(pair, same), warmup)
        note("prefix 20: step / bare backbone's step", ratio(seconds, "softprompt", "bare"), "<= 1.1")

        seconds = alternate(both, dict.fromkeys(both, same), warmup)
        detail["prefix_step_s"] = {name: statistics.median(times) for name, times in seconds.items()}
        note("prefix 20: step rate / PEFT's, same batches", ratio(seconds, "peft", "softprompt"), ">= 1.15")

    if options.only in (None, "own"):
        settings = TrainingSettings(epochs=1, batch_size=BATCH)
        whole = [b for b in plan([e.length for e in encoded], settings, 0) if len(b) == BATCH]
        by_length = sorted(whole, key=lambda batch: max(encoded[i].length for i in batch))
        every = max(1, len(whole) // options.own_batches)
        own = [[encoded[i] for i in batch] for batch in by_length[every // 2 :: every]]
        seconds = alternate(both, {"softprompt": own, "peft": plain[every // 2 :: every]}, 0)
        rates = {name: BATCH * len(times) / sum(times) for name, times in seconds.items()}
        detail["prefix_examples_per_s"] = rates
        question = f"prefix 20: examples/s / PEFT's, own batching, {len(encoded):,} examples"
        note(question, rates["softprompt"] / rates["peft"], ">= 1.5")

    if options.only in (None, "steps"):
        tokens = {"softprompt": ours(backbone, task, "tokens"), "peft": peer(backbone, pad, "tokens")}
        seconds = alternate(tokens, dict.fromkeys(tokens, same), warmup)
        detail["tokens_step_s"] = {name: statistics.median(times) for name, times in seconds.items()}
        note(
            "100 soft tokens: step rate / PEFT's, same batches", ratio(seconds, "peft", "softprompt"), ">= 2"
        )

    if options.only in (None, "memory"):
        for method, name, target in (
            ("prefix", "prefix 20", "<= 0.8"),
            ("tokens", "100 soft tokens", "<= 0.6"),
        ):
            peaks = {who: memory(who, method, options.dtype, 3) for who in ("softprompt", "peft")}
            detail[f"{method}_peak_bytes"] = peaks
            note(f"{name}: peak memory / PEFT's", peaks["softprompt"] / peaks["peft"], target)

    result = {
        "ratios": {question: round(value, 3) for question, value, _ in rows},
        "detail": detail,
        "dtype": options.dtype,
        "steps": options.steps,
        "examples": options.examples,
        "own_batches": options.own_batches,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": versions(),
    }
    if options.save:
        hardware = f"cpu{torch.get_num_threads()}-torch{torch.__version__.split('+')[0]}"
        part = f"-{options.only}" if options.only else ""
        name = f"training_step{part}-{hardware}-{options.dtype}.json"
        path = Path(__file__).parent / "results" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


def ratio(seconds: dict[str, list[float]], top: str, bottom: str) -> float:
    """Ratio of medians."""
    return statistics.median(seconds[top]) / statistics.median(seconds[bottom])


def versions() -> dict[str, str]:
    """Of what was measured."""
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "peft")}


if __name__ == "__main__":
    main()
