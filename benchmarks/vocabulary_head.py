"""What do a loss over the vocabulary's labelled positions, and its chunks, buy?

    python benchmarks/vocabulary_head.py

The end of a step of SmolLM2-135M on an E2E batch: states of 16 rows of 64 tokens, half of them labelled, to
losses and gradients, (a) through logits of every position, as transformers does by itself, (b) through those
of labelled positions, (c) in chunks. Peak memory above the start in a process for each. The last
line is JSON; `--save` also writes it to benchmarks/results/.
"""

import argparse
import json
import statistics
import time
from typing import Any

import torch
from common import finish, in_a_process_of_its_own, matrix_rate, peak_bytes
from torch import nn
from torch.nn import functional as F

from softprompt.backbones.loss import Finish, cross_entropy

ROWS, LABELLED, HIDDEN, VOCAB = 1024, 512, 576, 49152
MIB = 2**20
WAYS = ("every position", "labelled", *(f"chunks of {n} MiB" for n in (4, 16, 32, 64, 256)))


class End:
    """The states, the vocabulary matrix and what is wanted."""

    def __init__(self, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        self.matrix = nn.Linear(HIDDEN, VOCAB, bias=False).to(dtype).requires_grad_(False)
        self.states = torch.randn(ROWS, HIDDEN).to(dtype).requires_grad_()
        self.labelled = torch.arange(ROWS) % 2 == 0
        self.wanted = torch.randint(VOCAB, (ROWS,))

    def run(self, way: str) -> float:
        """Seconds from states to their gradient."""
        self.states.grad = None
        start = time.perf_counter()
        states, wanted = self.states, self.wanted
        if way == "every position":
            logits = self.matrix(states).float()
            loss = F.cross_entropy(logits, wanted.masked_fill(~self.labelled, -100))
        elif way == "labelled":
            logits = self.matrix(states[self.labelled]).float()
            loss = F.cross_entropy(logits, wanted[self.labelled])
        else:
            size = int(way.split()[2]) * MIB
            chosen = states[self.labelled]
            loss = cross_entropy(chosen, self.matrix, wanted[self.labelled], Finish(), size).mean()
        loss.backward()
        return time.perf_counter() - start


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    end = End(getattr(torch, options.dtype))
    if options.child:
        before = peak_bytes()
        for _ in range(2):
            end.run(options.child)
        print(json.dumps({"bytes": peak_bytes() - before}))
        return
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for i in range(options.rounds + 2):
        for way in WAYS:
            took = end.run(way)
            if i >= 2:
                seconds[way].append(took)
    # Forward, and backward to the states: the vocabulary matrix itself learns nothing.
    floor = 2 * 2 * LABELLED * HIDDEN * VOCAB / matrix_rate(end.states.dtype)
    print(f"products alone, labelled positions: {1e3 * floor:.1f} ms")
    print(f"{'logits of':<20} {'ms':>8} {'MiB above the start':>22}")
    found: dict[str, Any] = {}
    for way in WAYS:
        child = in_a_process_of_its_own(__file__, "--child", way, "--dtype", options.dtype)
        found[way] = {"seconds": statistics.median(seconds[way]), "bytes": child["bytes"]}
        print(f"{way:<20} {1e3 * found[way]['seconds']:8.1f} {child['bytes'] / MIB:22.0f}", flush=True)
    finish("vocabulary_head", {"found": found, "products_floor_s": floor}, options.dtype, options.save)


if __name__ == "__main__":
    main()
