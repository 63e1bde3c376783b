"""What does torch.compile buy a training step, and what does compiling cost?

    python benchmarks/compiled.py [--backbone llama-1b] [--device cuda]

One process runs a prefix of 20 on E2E batches of 16, each padded to its own length, with the layers as they
are and compiled (`load_backbone(..., compile=True)`), and the bare backbone both ways, in turns; medians.
Compiling happens in the first step of each, which is timed on its own. Gradients of a few rows, both ways,
are compared with float32's. The last line is JSON; `--save` also writes it to benchmarks/results/.
"""

import argparse
import statistics
from typing import Any

import torch
from common import (
    BATCH,
    Step,
    add_place,
    alternate,
    backbone_at,
    bare,
    examples,
    finish,
    generation,
    medians,
    prompt_of,
    settled,
    shuffled,
    step_of,
    timed,
)

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.tasks.generation import GenerationTask
from softprompt.tasks.task import Example

WARMUP = 2
LENGTH = 20
FEW = 4
"""Rows whose gradients are compared; float32 is slow where bfloat16 is fast."""


def loss_and_gradient(
    backbone: Backbone, task: GenerationTask, batch: list[Example]
) -> tuple[float, torch.Tensor]:
    """The mean loss of a batch under a prefix, and its gradient."""
    prompt = prompt_of(backbone, "prefix", LENGTH)
    with backbone.prompted(prompt):
        loss = task.loss(batch) / sum(example.n_targets for example in batch)
        loss.backward()
    gradients = [p.grad.flatten() for p in prompt.parameters() if p.grad is not None]
    return float(loss.detach()), torch.cat(gradients).cpu()


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_place(parser)
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each contender")
    parser.add_argument("--no-bare", action="store_true", help="leave the bare backbone out")
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()

    plain = backbone_at(options)
    start = settled()
    compiled = softprompt.load_backbone(plain.model, plain.tokenizer, compile=True)
    traced = settled() - start
    task, encoded = examples(plain, (options.steps + WARMUP + 1) * BATCH)
    own_task = generation(compiled)
    batches = [[encoded[i] for i in batch] for batch in shuffled(len(encoded), 0)]

    compile_s: dict[str, float] = {}
    steps: dict[str, Step] = {}

    def ready(name: str, step: Step) -> None:
        compile_s[name] = timed(step, batches[0])
        steps[name] = step
        print(f"{name:<24} first step {compile_s[name]:8.2f} s", flush=True)

    ready("softprompt", step_of(plain, task, prompt_of(plain, "prefix", LENGTH)))
    ready("softprompt, compiled", step_of(compiled, own_task, prompt_of(compiled, "prefix", LENGTH)))
    if not options.no_bare:
        ready("bare", bare(plain, task))
        within = bare(compiled, own_task)

        def bare_compiled(batch: list[Example]) -> None:
            with compiled.prompted(None):
                within(batch)

        ready("bare, compiled", bare_compiled)

    seconds = alternate(steps, dict.fromkeys(steps, batches[1:]), WARMUP)
    found = medians(seconds)
    print(f"\n{'contender':<24} {'median step, ms':>16} {'/ softprompt':>14}")
    for name, median in found.items():
        print(f"{name:<24} {1000 * median:16.1f} {median / found['softprompt']:14.3f}")
    ratio = found["softprompt, compiled"] / found["softprompt"]
    saved = found["softprompt"] - found["softprompt, compiled"]
    extra = traced + compile_s["softprompt, compiled"] - found["softprompt, compiled"]
    print(f"\ncompiled step / plain step {ratio:.3f}; compiling took {extra:.1f} s", end="")
    print(f", won back after {extra / saved:.0f} steps" if saved > 0 else ", never won back")
    few = batches[0][:FEW]
    answers = {
        "plain": loss_and_gradient(plain, task, few),
        "compiled": loss_and_gradient(compiled, own_task, few),
    }
    plain.model.float()  # last, since both have this model
    exact = loss_and_gradient(plain, task, few)
    apart = {name: float((g - exact[1]).norm() / exact[1].norm()) for name, (_, g) in answers.items()}
    losses = {**{name: loss for name, (loss, _) in answers.items()}, "float32": exact[0]}
    print("loss of a few rows:", ", ".join(f"{loss:.5f} {name}" for name, loss in losses.items()))
    print("gradient from float32's, in norms:", ", ".join(f"{far:.3f} {name}" for name, far in apart.items()))
    lengths = [max(len(example.input_ids) for example in batch) for batch in batches[1 + WARMUP :]]
    detail: dict[str, Any] = {
        "step_s": found,
        "first_step_s": compile_s,
        "trial_s": traced,
        "seq": {"least": min(lengths), "median": statistics.median(lengths), "most": max(lengths)},
        "loss": losses,
        "gradient_from_float32": apart,
    }
    result = {"ratios": {"compiled / plain": round(ratio, 3)}, "compile_s": extra, "detail": detail}
    result |= {"backbone": options.backbone, "batch": BATCH, "prefix": LENGTH, "steps": options.steps}
    finish(f"compiled-{options.backbone}", result, options.dtype, options.save, options.device)


if __name__ == "__main__":
    main()
