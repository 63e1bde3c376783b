"""What does a batch cost whose rows train prompts of their own, beside the same batch for one prompt?

    python benchmarks/many_prompts.py

One process takes all kinds of step in turn on the same rows and compares medians. `gradients` is the
forward pass, the loss through the heads, and the backward pass; `step` adds clipping each prompt's
gradients and AdamW, which has as many times more numbers to move as there are prompts. `--alone` also
computes the gradients of the rows one after another, each in a batch of its own. The last line is
JSON; `--save` also writes it to benchmarks/results/.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from common import finish, settled
from frozen import BACKBONES
from torch import nn

import softprompt
from softprompt.backbones import Backbone
from softprompt.config import ClassificationSettings, DecodingSettings, GenerationSettings
from softprompt.prompts.prompt import Prompt
from softprompt.tasks.examples import Example
from softprompt.tasks.headed.classification import ClassificationTask
from softprompt.tasks.headed.reading_task import ReadingExample
from softprompt.tasks.inputs import Row
from softprompt.tasks.language.generation import GenerationTask
from softprompt.tasks.mixture import Mixture, PartExample

ROWS = 16
LENGTH = 20
"""Of each prompt, in tokens."""


def tokens(backbone: Backbone, n: int, seed: int) -> tuple[int, ...]:
    """A text of n random tokens."""
    return tuple(backbone.sample_tokens(n, torch.Generator().manual_seed(seed)))


def classification(backbone: Backbone, seq: int) -> tuple[Any, list[Any], list[Prompt]]:
    """Sixteen users' classification, p_tuning_v2 with a head each."""
    task = ClassificationTask(backbone, ClassificationSettings(), ("no", "yes"))
    examples = [ReadingExample(str(i), (Row(tokens(backbone, seq, i)),), (i % 2,)) for i in range(ROWS)]
    return (
        task,
        examples,
        [
            softprompt.p_tuning_v2(backbone, LENGTH, head=task.head, seed=i).to(backbone.device)
            for i in range(ROWS)
        ],
    )


def generation(backbone: Backbone, seq: int) -> tuple[Any, list[Any], list[Prompt]]:
    """Sixteen users' generation, prefixes without reparameterisation; half of each text is wanted."""
    task = GenerationTask(backbone, GenerationSettings(chat=False), decoding=DecodingSettings())
    examples = []
    for i in range(ROWS):
        ids = tokens(backbone, seq, i)
        labels = (-100,) * (seq // 2) + ids[seq // 2 :]
        examples.append(Example(str(i), ids, labels, seq, seq - seq // 2))
    prompts = [
        softprompt.prefix_tuning(backbone, LENGTH, reparameterization=None, seed=i).to(backbone.device)
        for i in range(ROWS)
    ]
    return task, examples, prompts


def contenders(
    backbone: Backbone, task: Any, examples: list[Any], prompts: list[Prompt], whole: bool
) -> dict[str, Callable[[], None]]:
    """A step for one prompt and a step for many, each ending with gradients, or with moved parameters."""
    names = [str(i) for i in range(ROWS)]
    mixture = Mixture(backbone, dict.fromkeys(names, task))
    parts = [PartExample(name, example) for name, example in zip(names, examples, strict=True)]
    n_targets = sum(example.n_targets for example in examples)
    optimizers = {
        name: torch.optim.AdamW([p for prompt in some for p in prompt.parameters()], lr=1e-4)
        for name, some in (("one", prompts[:1]), ("many", prompts))
    }

    def end(name: str, some: list[Prompt]) -> None:
        if whole:
            for prompt in some:
                nn.utils.clip_grad_norm_(prompt.parameters(), 1.0)
            optimizers[name].step()
        optimizers[name].zero_grad(set_to_none=True)

    def one() -> None:
        with backbone.prompted(prompts[0]):
            (task.loss(examples) / n_targets).backward()
        end("one", prompts[:1])

    def many() -> None:
        with backbone.prompted(prompts, rows=mixture.rows(parts)):
            losses = mixture.losses(parts)
            torch.stack(
                [loss / examples[int(name)].n_targets for name, loss in losses.items()]
            ).sum().backward()
        end("many", prompts)

    def alone() -> None:
        for prompt, example in zip(prompts, examples, strict=True):
            with backbone.prompted(prompt):
                (task.loss([example]) / example.n_targets).backward()
        end("many", prompts)

    return {"one": one, "many": many, "alone": alone}


def alternate(steps: dict[str, Callable[[], None]], n: int, warmup: int = 3) -> dict[str, list[float]]:
    """Seconds of every step, the contenders taking turns, now one first and now the other."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(n + warmup):
        order = list(steps) if i % 2 == 0 else list(steps)[::-1]
        for name in order:
            start = settled()
            steps[name]()
            if i >= warmup:
                seconds[name].append(settled() - start)
    return seconds


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", nargs="*", default=["minilm-l6"], choices=["minilm-l6", *BACKBONES])
    parser.add_argument("--seq", nargs="*", type=int, default=[64, 128], help="tokens of each row")
    parser.add_argument("--steps", type=int, default=40, help="timed steps of each contender")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda where a GPU is there")
    parser.add_argument("--alone", action="store_true", help="also the rows one after another")
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()

    columns = f"{'backbone':<14} {'seq':>4} {'measured':<10} {'one ms':>8} {'many ms':>8}"
    print(f"{columns} {'ratio':>6} {'fastest':>8}   target")
    found: list[dict[str, Any]] = []
    for name in options.backbone:
        load = BACKBONES.get(name, partial(softprompt.load_backbone, name))
        backbone = load(dtype=options.dtype, device=options.device)
        build = classification if name == "minilm-l6" else generation
        for seq in options.seq:
            task, examples, prompts = build(backbone, seq)
            for measured, whole in (("gradients", False), ("step", True)):
                if whole and options.alone:
                    continue
                steps = contenders(backbone, task, examples, prompts, whole)
                if not options.alone:
                    del steps["alone"]
                seconds = alternate(steps, options.steps)
                one, many = (statistics.median(seconds[who]) for who in ("one", "many"))
                # On a busy machine the fastest steps are those that were least disturbed.
                fastest = min(seconds["many"]) / min(seconds["one"])
                found.append(
                    {
                        "backbone": name,
                        "seq": seq,
                        "measured": measured,
                        "one_s": round(one, 5),
                        "many_s": round(many, 5),
                        "ratio": round(many / one, 3),
                        "ratio_of_fastest": round(fastest, 3),
                    }
                )
                if options.alone:
                    found[-1]["alone_s"] = alone = round(statistics.median(seconds["alone"]), 5)
                    print(f"one after another: {1e3 * alone:.1f} ms, {alone / many:.3f} x many   >= 1.6")
                target = "<= 1.05" if measured == "gradients" else ""
                line = f"{name:<14} {seq:>4} {measured:<10} {1e3 * one:8.1f} {1e3 * many:8.1f}"
                print(f"{line} {many / one:6.3f} {fastest:8.3f}   {target}", flush=True)
    result = {"rows": ROWS, "prompts": ROWS, "length": LENGTH, "steps": options.steps, "found": found}
    question = f"many_prompts-{'-'.join(options.backbone)}"
    finish(question, result, options.dtype, options.save, options.device)


if __name__ == "__main__":
    main()
