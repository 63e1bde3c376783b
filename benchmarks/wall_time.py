"""How long until the development loss that PEFT's prefix reaches after its epochs on 400 E2E pairs?

    python benchmarks/wall_time.py                                    everything, one after another
    python benchmarks/wall_time.py --who peft-random|peft-text|ours   one at a time, `ours` last

PEFT trains its prefix once from its default initialisation (20 random vectors) and once from its own
initialisation from text, the text being two training pairs. Ours begins from the same two pairs
(`initialization="examples:2"`) and stops where it is at or below both; `--examples 4` gives it four pairs,
a longer prefix; `--draws 8` lets it draw two pairs eight times and begin from those with the lowest loss on
32 other training pairs (`method.draws`), and counts the seconds of that. All have one learning rate (1e-2,
falling linearly over the epochs), AdamW and the same shuffled batches of 16; `--by-length` gives ours batches
of similar lengths instead. Clocks count training steps, not evaluations. Each part leaves its file in
benchmarks/results/ with `--save`; the last line is JSON.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import peft
import torch
from common import (
    BATCH,
    RESULTS,
    finish,
    generation,
    hardware,
    optimizer_of,
    padded,
    peft_model,
    settled,
    shuffled,
)
from frozen import smollm2

import softprompt
from softprompt.backbones import Backbone
from softprompt.config import DataSettings, TrainingSettings
from softprompt.data import load
from softprompt.prompts.prompt import Prompt
from softprompt.tasks.examples import Example
from softprompt.tasks.language.generation import GenerationTask
from softprompt.training.distributed import Processes
from softprompt.training.loop.schedule import plan
from softprompt.training.setup.example_search import best_start

PAIRS, DEV, RATE, SEED = 400, 100, 1e-2, 0
EVERY = 5
"""Steps between our evaluations."""

TARGETS = {"peft-random": "<= 0.1", "peft-text": "<= 0.65"}


class Setting:
    """The backbone and the pairs of everybody."""

    def __init__(self, dtype: str, device: str, epochs: int, n_examples: int) -> None:
        self.epochs, self.n_steps = epochs, epochs * PAIRS // BATCH
        self.backbone: Backbone = smollm2(dtype, device)
        self.task: GenerationTask = generation(self.backbone)
        data = DataSettings(format="e2e", train=Path("e2e/devset.csv"), train_size=PAIRS + DEV)
        records = load(data).train
        self.records = records[:PAIRS]
        self.demonstrations = self.task.demonstrations(records[:PAIRS], 2, SEED)
        self.ours = self.task.demonstrations(records[:PAIRS], n_examples, SEED)
        encoded = [self.task.encode(record) for record in records]
        self.train: list[Example] = encoded[:PAIRS]
        self.dev: list[Example] = encoded[PAIRS:]

    def chunks(self) -> list[list[Example]]:
        """The development pairs in batches."""
        return [self.dev[i : i + BATCH] for i in range(0, DEV, BATCH)]

    def lower(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """The linear schedule."""
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / self.n_steps)


def theirs(setting: Setting, from_text: bool) -> dict[str, Any]:
    """PEFT's prefix, three epochs."""
    backbone = setting.backbone
    length, tokenizer = 20, backbone.tokenizer
    text = tokenizer.decode([i for ids in setting.demonstrations for i in ids]) if from_text else ""
    if from_text:
        length = len(tokenizer(text)["input_ids"])
    torch.manual_seed(SEED)
    model = peft_model(backbone, "prefix", length)
    if from_text:
        peft.initialize_kv_prefix_from_text(
            model, tokenizer, text=text, num_virtual_tokens=length, use_chat_template=False
        )
    optimizer = optimizer_of(model.parameters(), RATE)
    pad = tokenizer.pad_token_id or 0

    @torch.no_grad()
    def loss() -> float:
        model.eval()
        sums = [
            float(model(**padded(b, pad, backbone.device)).loss) * sum(e.n_targets for e in b)
            for b in setting.chunks()
        ]
        return sum(sums) / sum(e.n_targets for e in setting.dev)

    batches = [b for epoch in range(setting.epochs) for b in shuffled(PAIRS, epoch)]
    first, seconds = loss(), 0.0
    model.train()
    for step, batch in enumerate(batches):
        start = settled()
        setting.lower(optimizer, step)
        model(**padded([setting.train[i] for i in batch], pad, backbone.device)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds += settled() - start
    return {
        "length": length,
        "epochs": setting.epochs,
        "steps": len(batches),
        "seconds": seconds,
        "first_loss": first,
        "loss": loss(),
    }


def ours(setting: Setting, until: float, by_length: bool, n_draws: int = 1) -> dict[str, Any]:
    """Our prefix, until the development loss is low enough."""
    backbone, task, n_examples = setting.backbone, setting.task, len(setting.ours)

    def build(examples: list[list[int]]) -> Prompt:
        start = f"examples:{n_examples}"
        return softprompt.prefix_tuning(
            backbone, reparameterization=None, initialization=start, examples=examples, seed=SEED
        ).to(backbone.device)

    start, draw_losses = settled(), ()
    if n_draws == 1:
        prompt = build(setting.ours)
    else:
        processes = Processes(str(backbone.device))
        chosen = best_start(
            backbone, task, setting.records, n_examples, n_draws, build, processes, SEED, BATCH
        )
        prompt, draw_losses = chosen.prompt, chosen.losses
    seconds = settled() - start  # reading and choosing the examples is part of the price
    optimizer = optimizer_of(prompt.parameters(), RATE)
    batches = [b for epoch in range(setting.epochs) for b in shuffled(PAIRS, epoch)]
    if by_length:
        settings = TrainingSettings(epochs=setting.epochs, batch_size=BATCH, seed=SEED)
        lengths = [example.length for example in setting.train]
        batches = [b for epoch in range(setting.epochs) for b in plan(lengths, settings, epoch)]

    @torch.no_grad()
    def loss() -> float:
        with backbone.prompted(prompt):
            total = sum(float(task.loss(batch)) for batch in setting.chunks())
        return total / sum(e.n_targets for e in setting.dev)

    curve = [{"step": 0, "seconds": seconds, "loss": loss()}]
    for step, indices in enumerate(batches):
        if curve[-1]["loss"] <= until:
            break
        start = settled()
        setting.lower(optimizer, step)
        batch = [setting.train[i] for i in indices]
        with backbone.prompted(prompt):
            (task.loss(batch) / sum(e.n_targets for e in batch)).backward()
        torch.nn.utils.clip_grad_norm_(prompt.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds += settled() - start
        if (step + 1) % EVERY == 0 or step + 1 == len(batches):
            curve.append({"step": step + 1, "seconds": seconds, "loss": loss()})
    return {"length": prompt.length, "draw_losses": draw_losses, "curve": curve}


def stored(who: str, device: str) -> dict[str, Any]:
    """What an earlier part found on this hardware."""
    (path,) = RESULTS.glob(f"wall_time-{who}-{hardware(device)}-*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    """Train, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda where a GPU is there")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--examples", type=int, default=2, help="pairs that ours begins from")
    parser.add_argument("--draws", type=int, default=1, help="draws of these pairs, the best of which counts")
    parser.add_argument("--by-length", action="store_true", help="our own batches, not PEFT's")
    parser.add_argument("--who", choices=["peft-random", "peft-text", "ours"])
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()
    setting = Setting(options.dtype, options.device, options.epochs, options.examples)
    reached: dict[str, dict[str, Any]] = {}
    for who in TARGETS:
        if options.who in (None, who):
            reached[who] = theirs(setting, who == "peft-text")
            print(f"{who}: {reached[who]}", flush=True)
            finish(f"wall_time-{who}", reached[who], options.dtype, options.save, options.device)
        elif options.who == "ours":
            reached[who] = stored(who, options.device)
    if options.who in (None, "ours"):
        until = min(part["loss"] for part in reached.values())
        found = ours(setting, until, options.by_length, options.draws)
        print(f"{'until the loss of':<18} {'loss':>7} {'theirs s':>9} {'ours s':>8} {'ratio':>7}   target")
        ratios = {}
        for who, part in reached.items():
            there = next((p for p in found["curve"] if p["loss"] <= part["loss"]), None)
            ratios[who] = None if there is None else round(there["seconds"] / part["seconds"], 4)
            mine = "-" if there is None else f"{there['seconds']:.1f}"
            shown = f"{mine:>8} {ratios[who] or '-':>7}"
            print(f"{who:<18} {part['loss']:7.4f} {part['seconds']:9.1f} {shown}   {TARGETS[who]}")
        name = "wall_time-ours" + ("-by-length" if options.by_length else "")
        name += "" if options.examples == 2 else f"-examples{options.examples}"
        name += "" if options.draws == 1 else f"-draws{options.draws}"
        finish(name, {**found, "ratios": ratios}, options.dtype, options.save, options.device)


if __name__ == "__main__":
    main()
