"""Which precision does this processor multiply in? The reason for `load_backbone`'s choice of dtype.

    python benchmarks/precision.py

Times the two kinds of matrix product of a training step (forward: weights transposed; backward: plain) at the
sizes of SmolLM2-135M, in float32 and bfloat16, alternating. The last line is JSON.
"""

import json
import statistics
import time

import torch

from softprompt.backbones import fast_bf16

TOKENS, HIDDEN, INNER = 1000, 576, 1536


def seconds(dtype: torch.dtype, backward: bool) -> float:
    """One product of `TOKENS` rows."""
    weight = torch.ones(INNER, HIDDEN, dtype=dtype)
    rows = torch.ones(TOKENS, INNER if backward else HIDDEN, dtype=dtype)
    start = time.perf_counter()
    torch.matmul(rows, weight if backward else weight.t())
    return time.perf_counter() - start


def main() -> None:
    """Measure, print the table, print one JSON line."""
    ratios = {}
    for name, backward in (("forward", False), ("backward", True)):
        pairs = [(seconds(torch.float32, backward), seconds(torch.bfloat16, backward)) for _ in range(7)][2:]
        ratios[name] = statistics.median(half / full for full, half in pairs)
        print(f"{name:<10} bfloat16 takes {ratios[name]:5.2f} x the time of float32")
    print(f"load_backbone(dtype=None) takes {'bfloat16' if fast_bf16() else 'float32'} here")
    threads = torch.get_num_threads()
    print(json.dumps({"bf16_over_fp32": ratios, "fast_bf16": fast_bf16(), "threads": threads}))


if __name__ == "__main__":
    main()
