"""What the benchmarks share: the same E2E batches, a step of each contender, clocks, memory, results."""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from frozen import BACKBONES
from torch import Tensor

import softprompt
from softprompt.backbones import Backbone
from softprompt.config import DataSettings, DecodingSettings, GenerationSettings
from softprompt.data import load
from softprompt.prompts.prompt import Prompt
from softprompt.tasks.examples import IGNORED, Example
from softprompt.tasks.language.generation import GenerationTask

BATCH = 16
RESULTS = Path(__file__).parent / "results"
Step = Callable[[list[Example]], Any]


def add_place(parser: argparse.ArgumentParser) -> None:
    """The options of what is frozen, in what precision and where: `--backbone`, `--dtype`, `--device`."""
    parser.add_argument("--backbone", default="smollm2-135m", choices=BACKBONES)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda where a GPU is there")


def backbone_at(place: argparse.Namespace) -> Backbone:
    """What `add_place` asks for."""
    return BACKBONES[place.backbone](place.dtype, place.device)


def same_place(place: argparse.Namespace) -> tuple[str, ...]:
    """The same options again, for a process of its own."""
    return ("--backbone", place.backbone, "--dtype", place.dtype, "--device", place.device)


def question_of(name: str, place: argparse.Namespace, *parts: str) -> str:
    """What a kept result is called: the benchmark, a backbone that is not the usual one, what part."""
    return "-".join((name, *([] if place.backbone == "smollm2-135m" else [place.backbone]), *parts))


def settled() -> float:
    """The clock, once all that was begun on a GPU has ended."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def examples(backbone: Backbone, n: int, rows: str = "e2e") -> tuple[GenerationTask, list[Example]]:
    """Encoded pairs for the generation task.

    Args:
        backbone: whose tokens they are.
        n: how many.
        rows: `e2e` for the first n of the shuffled E2E development pairs; `random` for rows of random
            tokens as long as those, which need neither the data nor SmolLM2's tokenizer.
    """
    task = generation(backbone)
    if rows == "random":
        return task, as_long_as_e2e(backbone, n)
    data = DataSettings(format="e2e", train=Path("e2e/devset.csv"), train_size=n)
    return task, [task.encode(record) for record in load(data).train]


E2E_TOKENS = (28, 43, 50, 56, 60, 63, 67, 71, 76, 81, 113)
E2E_WANTED = (7, 18, 22, 24, 26, 29, 31, 33, 36, 40, 72)
"""Deciles of the first 1,000 pairs, in SmolLM2's tokens: of a whole row, and of what is wanted of it."""


def as_long_as_e2e(backbone: Backbone, n: int) -> list[Example]:
    """Rows of random tokens whose lengths are distributed as E2E's."""
    draw = random.Random(0)

    def length(deciles: Sequence[int]) -> int:
        place = 10 * draw.random()
        low = int(place)
        return round(deciles[low] + (place - low) * (deciles[low + 1] - deciles[low]))

    rows = []
    for i in range(n):
        seq = length(E2E_TOKENS)
        wanted = min(length(E2E_WANTED), seq - 1)
        ids = tuple(backbone.sample_tokens(seq, torch.Generator().manual_seed(i)))
        labels = (IGNORED,) * (seq - wanted) + ids[seq - wanted :]
        rows.append(Example(str(i), ids, labels, seq, wanted))
    return rows


def generation(backbone: Backbone) -> GenerationTask:
    """The generation task as it is by default."""
    return GenerationTask(backbone, GenerationSettings(chat=False), decoding=DecodingSettings())


def made_up(backbone: Backbone, batch: int, seq: int, seed: int = 0) -> list[Example]:
    """Rows of random tokens, all of one length; the second half of each is wanted."""
    rows = []
    for i in range(batch):
        ids = tuple(backbone.sample_tokens(seq, torch.Generator().manual_seed(1000 * seed + i)))
        labels = (IGNORED,) * (seq // 2) + ids[seq // 2 :]
        rows.append(Example(str(i), ids, labels, seq, seq - seq // 2))
    return rows


def padded(batch: list[Example], pad: int, device: Any = None) -> dict[str, Tensor]:
    """A right-padded batch with labels, as transformers' collators make it."""
    longest = max(len(example.input_ids) for example in batch)

    def rows(values: list[list[int]], fill: int) -> Tensor:
        return torch.tensor([row + [fill] * (longest - len(row)) for row in values], device=device)

    ids = [list(example.input_ids) for example in batch]
    return {
        "input_ids": rows(ids, pad),
        "attention_mask": rows([[1] * len(row) for row in ids], 0),
        "labels": rows([list(example.labels) for example in batch], IGNORED),
    }


def prompt_of(backbone: Backbone, method: str, length: int) -> Prompt:
    """A prompt of ours, where the backbone is, as training has it.

    It is a prefix without reparameterisation, soft tokens, or soft tokens through an MLP.
    """
    if method == "prefix":
        prompt = softprompt.prefix_tuning(
            backbone, length, reparameterization=None, initialization="random", positions="shifted"
        )
        for parameter in prompt.parameters():
            parameter.data.mul_(0.02)
    elif method == "tokens":
        prompt = softprompt.prompt_tuning(backbone, length)
    else:
        # As wide and as deep as PEFT's encoder: two hidden layers of the backbone's width.
        prompt = softprompt.prompt_tuning(
            backbone,
            length,
            reparameterization="mlp",
            width=backbone.hidden,
            depth=2,
            initialization="random",
        )
    return prompt.to(backbone.device)


def optimizer_of(parameters: Any, rate: float = 1e-3) -> torch.optim.Optimizer:
    """AdamW, the same for everybody."""
    return torch.optim.AdamW(
        [p for p in parameters if p.requires_grad], lr=rate, weight_decay=0.0, fused=True
    )


def ours(backbone: Backbone, task: GenerationTask, method: str, length: int, rate: float = 1e-3) -> Step:
    """A step of this project."""
    return step_of(backbone, task, prompt_of(backbone, method, length), rate)


def step_of(backbone: Backbone, task: GenerationTask, prompt: Prompt, rate: float = 1e-3) -> Step:
    """A step that trains one prompt."""
    optimizer = optimizer_of(prompt.parameters(), rate)

    def step(batch: list[Example]) -> None:
        with backbone.prompted(prompt):
            loss = task.loss(batch) / sum(example.n_targets for example in batch)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


@contextmanager
def down_to_inputs(backbone: Backbone) -> Iterator[None]:
    """Within this context input vectors take a gradient, so that a backward pass goes down to them."""

    def leaf(module: torch.nn.Module, args: object, output: Tensor) -> Tensor:
        return output.detach().requires_grad_()

    handle = backbone.model.get_input_embeddings().register_forward_hook(leaf)
    try:
        yield
    finally:
        handle.remove()


def bare(backbone: Backbone, task: GenerationTask) -> Step:
    """The backbone's own step without any prompt: forward, and backward down to its input vectors."""

    def step(batch: list[Example]) -> None:
        with down_to_inputs(backbone):
            (task.loss(batch) / sum(example.n_targets for example in batch)).backward()

    return step


def peft_model(backbone: Backbone, method: str, length: int) -> Any:
    """PEFT's model of a method, as its documentation shows it; the backbone's modules are shared."""
    import peft

    kinds = {
        "prefix": peft.PrefixTuningConfig,
        "tokens": peft.PromptTuningConfig,
        "p_tuning": peft.PromptEncoderConfig,
    }
    more = {"encoder_hidden_size": backbone.hidden} if method == "p_tuning" else {}
    model = peft.get_peft_model(
        backbone.model, kinds[method](task_type="CAUSAL_LM", num_virtual_tokens=length, **more)
    )
    model.train()
    return model


def peer(backbone: Backbone, method: str, length: int, rate: float = 1e-3, model: Any = None) -> Step:
    """A step of PEFT's."""
    model = model or peft_model(backbone, method, length)
    pad = backbone.tokenizer.pad_token_id or 0
    optimizer = optimizer_of(model.parameters(), rate)

    def step(batch: list[Example]) -> None:
        model(**padded(batch, pad, model.device)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def shuffled(n: int, seed: int, size: int = BATCH) -> list[list[int]]:
    """Whole batches in random order, what a plain data loader gives."""
    order = list(range(n))
    random.Random(seed).shuffle(order)
    return [order[i : i + size] for i in range(0, n - n % size, size)]


def timed(step: Step, batch: list[Example]) -> float:
    """Seconds of one step."""
    start = settled()
    step(batch)
    return settled() - start


def alternate(
    steps: Mapping[str, Step], batches: Mapping[str, Sequence[list[Example]]], warmup: int
) -> dict[str, list[float]]:
    """Seconds of every step, the contenders taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(min(map(len, batches.values()))):
        for name, step in steps.items():
            took = timed(step, batches[name][i])
            if i >= warmup:
                seconds[name].append(took)
    return seconds


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median step of each contender."""
    return {name: statistics.median(times) for name, times in seconds.items()}


def peak_bytes() -> int:
    """Peak memory of this process: of the GPU where one was used, else resident."""
    if torch.cuda.is_available() and (peak := torch.cuda.max_memory_allocated()):
        return peak
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    if sys.platform == "linux":
        # Not getrusage: its figure outlives exec, so a child would report its parent's peak.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_a_process_of_its_own(file: str, *arguments: str) -> Any:
    """What a benchmark prints as its last line when it is run again with other arguments."""
    done = subprocess.run([sys.executable, file, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def matrix_rate(dtype: torch.dtype) -> float:
    """Multiplications and additions per second of this machine, at the sizes of the backbone's layers."""
    rows, weight = torch.ones(1024, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        torch.nn.functional.linear(rows, weight)
        seconds.append(time.perf_counter() - start)
    return 2 * 1024 * 576 * 1536 / statistics.median(seconds[5:])


def copy_rate() -> float:
    """Bytes per second that this machine copies, far beyond its caches."""
    source = torch.ones(64 * 2**20, dtype=torch.uint8)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        target.copy_(source)
        seconds.append(time.perf_counter() - start)
    return len(source) / statistics.median(seconds[2:])


def versions() -> dict[str, str]:
    """Of what was measured, as far as it is installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("torch", "transformers", "peft"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def hardware(device: str) -> str:
    """As names of kept results say it: `cpu2` with two threads, or the GPU's name."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device).lower().replace(" ", "-")
    return f"cpu{torch.get_num_threads()}" if device == "cpu" else device


def finish(question: str, result: dict[str, Any], dtype: str, save: bool, device: str = "cpu") -> None:
    """Print the result as the last line, with what it was measured on; keep it if asked to."""
    threads = torch.get_num_threads()
    facts = {"dtype": dtype, "threads": threads, "machine": platform.machine(), "versions": versions()}
    if device.startswith("cuda"):
        facts["device"] = torch.cuda.get_device_name(device)
    result = {**result, **facts}
    if save:
        name = f"{question}-{hardware(device)}-torch{torch.__version__.split('+')[0]}-{dtype}.json"
        folder = Path(os.environ.get("SOFTPROMPT_BENCHMARKS", RESULTS))
        folder.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
