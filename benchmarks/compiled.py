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
CONTENDERS = ("softprompt", "bare")
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


def compared(plain: Backbone, compiled: Backbone, batch: list[Example]) -> dict[str, Any]:
    """Losses and gradients of a few rows both ways, beside float32's."""
    answers = {
        "plain": loss_and_gradient(plain, generation(plain), batch),
        "compiled": loss_and_gradient(compiled, generation(compiled), batch),
    }
    plain.model.float()  # last, since both have this model
    exact = loss_and_gradient(plain, generation(plain), batch)
    apart = {name: float((g - exact[1]).norm() / exact[1].norm()) for name, (_, g) in answers.items()}
    losses = {**{name: loss for name, (loss, _) in answers.items()}, "float32": exact[0]}
    print("loss of a few rows:", ", ".join(f"{loss:.5f} {name}" for name, loss in losses.items()))
    print("gradient from float32's, in norms:", ", ".join(f"{far:.3f} {name}" for name, far in apart.items()))
    return {"loss": losses, "gradient_from_float32": apart}


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_place(parser)
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each contender")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()

    plain = backbone_at(options)
    start = settled()
    compiled = softprompt.load_backbone(plain.model, plain.tokenizer, compile=True)
    traced = settled() - start
    task, encoded = examples(plain, (options.steps + WARMUP + 1) * BATCH)
    own_task = generation(compiled)
    batches = [[encoded[i] for i in batch] for batch in shuffled(len(encoded), 0)]
    within = bare(compiled, own_task)

    def bare_compiled(batch: list[Example]) -> None:
        with compiled.prompted(None):
            within(batch)

    pairs: dict[str, tuple[Step, Step]] = {
        "softprompt": (
            step_of(plain, task, prompt_of(plain, "prefix", LENGTH)),
            step_of(compiled, own_task, prompt_of(compiled, "prefix", LENGTH)),
        ),
        "bare": (bare(plain, task), bare_compiled),
    }
    steps: dict[str, Step] = {}
    for name in options.only:
        steps |= dict(zip((name, f"{name}, compiled"), pairs[name], strict=True))
    first_s = {}
    for name, step in steps.items():
        first_s[name] = timed(step, batches[0])
        print(f"{name:<24} first step {first_s[name]:8.2f} s", flush=True)

    found = medians(alternate(steps, dict.fromkeys(steps, batches[1:]), WARMUP))
    print(f"\n{'contender':<24} {'median step, ms':>16} {'compiled / plain':>18} {'compiling, s':>14}")
    ratios: dict[str, float] = {}
    compile_s: dict[str, float] = {}
    for name in options.only:
        before, after = found[name], found[f"{name}, compiled"]
        ratios[f"{name}: compiled / plain"] = round(after / before, 3)
        compile_s[name] = traced + first_s[f"{name}, compiled"] - after
        print(f"{name:<24} {1000 * before:16.1f}")
        print(
            f"{name + ', compiled':<24} {1000 * after:16.1f} {after / before:18.3f} {compile_s[name]:14.1f}"
        )
        won = f"after {compile_s[name] / (before - after):.0f} steps" if after < before else "never"
        print(f"compiling is won back {won}")
    lengths = [max(len(example.input_ids) for example in batch) for batch in batches[1 + WARMUP :]]
    detail: dict[str, Any] = {
        "step_s": found,
        "first_step_s": first_s,
        "trial_s": traced,
        "seq": {"least": min(lengths), "median": statistics.median(lengths), "most": max(lengths)},
    }
    if "softprompt" in options.only:
        detail |= compared(plain, compiled, batches[0][:FEW])
    part = "" if options.only == list(CONTENDERS) else "-" + "-".join(options.only)
    result = {"ratios": ratios, "compile_s": compile_s, "detail": detail}
    result |= {"backbone": options.backbone, "batch": BATCH, "prefix": LENGTH, "steps": options.steps}
    finish(f"compiled-{options.backbone}{part}", result, options.dtype, options.save, options.device)


if __name__ == "__main__":
    main()
