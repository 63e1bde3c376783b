"""Is it worth not to copy a shared prefix for every row, and how should attention's backward pass go, on CPU?

    python benchmarks/attention.py

One layer of SmolLM2-135M's attention with a prefix that all rows share, forward and backward, in ways that
give the same numbers: `fused` copies the prefix for every row and takes torch's kernel, `written out` has the
same forward pass and the backward pass of `cpu_backward.py`, `products` copies and multiplies step by step,
`no copy` multiplies without any copy, sharing one softmax. The floor counts what the copies alone cost. The
last line is JSON; `--save` also writes it to benchmarks/results/.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from common import copy_rate, finish, medians
from torch import Tensor
from torch.nn import functional as F

from softprompt.backbones.attention.cpu_backward import attend
from softprompt.backbones.attention.mask import AttentionMask

HEADS, KV_HEADS, DIM, LAYERS = 9, 3, 64, 30
GROUP, SCALE = HEADS // KV_HEADS, DIM**-0.5
SIZES = (
    *((16, 64, 20), (16, 64, 100), (328, 12, 5), (16, 128, 20), (16, 256, 20)),
    *((4, 512, 20), (4, 1024, 20), (2, 2048, 20)),
)
"""Batch, text and prefix."""


class Mask(NamedTuple):
    """What the queries see, `[batch, 1, seq, prompt + seq]`: as a boolean, and to be added to scores."""

    seen: Tensor
    added: Tensor


Way = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Mask], Tensor]


def copied(part: Tensor, own: Tensor) -> Tensor:
    """The prefix in front of every row's own keys or values."""
    return torch.cat([part.expand(len(own), -1, -1, -1), own], dim=2)


def packed(query: Tensor) -> Tensor:
    """The heads of a group as further queries of their one key/value head."""
    return query.reshape(len(query), KV_HEADS, -1, DIM)


def unpacked(out: Tensor, query: Tensor) -> Tensor:
    """`[batch, seq, head, dim]`."""
    return out.reshape(query.shape).transpose(1, 2).contiguous()


def kernel(query: Tensor, keys: Tensor, values: Tensor, mask: Mask) -> Tensor:
    """torch's fused attention."""
    out = F.scaled_dot_product_attention(
        packed(query), keys, values, attn_mask=mask.seen.repeat(1, 1, GROUP, 1), scale=SCALE
    )
    return unpacked(out, query)


def fused(query: Tensor, key: Tensor, value: Tensor, pk: Tensor, pv: Tensor, mask: Mask) -> Tensor:
    """Copies, torch's kernel both ways."""
    return kernel(query, copied(pk, key), copied(pv, value), mask)


def written_out(query: Tensor, key: Tensor, value: Tensor, pk: Tensor, pv: Tensor, mask: Mask) -> Tensor:
    """Copies, torch's kernel forward, our backward pass."""
    keys, values = copied(pk, key), copied(pv, value)
    read = AttentionMask.read(mask.seen, kernel="sdpa", causal=False, query=query, n_keys=keys.shape[2])
    return attend(partial(kernel, mask=mask), query, keys, values, read, SCALE)


def products(query: Tensor, key: Tensor, value: Tensor, pk: Tensor, pv: Tensor, mask: Mask) -> Tensor:
    """Copies, one operation after another."""
    keys, values = copied(pk, key), copied(pv, value)
    scores = packed(query * SCALE) @ keys.transpose(2, 3) + mask.added.repeat(1, 1, GROUP, 1)
    return unpacked(scores.softmax(-1) @ values, query)


def no_copy(query: Tensor, key: Tensor, value: Tensor, pk: Tensor, pv: Tensor, mask: Mask) -> Tensor:
    """All rows' queries against the one prefix, then one softmax over both parts."""
    batch, n_prefix = len(query), pk.shape[2]
    q = packed(query * SCALE)
    own = q @ key.transpose(2, 3) + mask.added[..., n_prefix:].repeat(1, 1, GROUP, 1)
    by_head = q.transpose(0, 1).reshape(KV_HEADS, -1, DIM)
    shared = (by_head @ pk[0].transpose(1, 2)).view(KV_HEADS, batch, -1, n_prefix).transpose(0, 1)
    weights = torch.cat([shared, own], -1).softmax(-1)
    of_prefix = weights[..., :n_prefix].transpose(0, 1).reshape(KV_HEADS, -1, n_prefix)
    summed = (of_prefix @ pv[0]).view(KV_HEADS, batch, -1, DIM).transpose(0, 1)
    return unpacked(summed + weights[..., n_prefix:] @ value, query)


WAYS: dict[str, Way] = {
    "fused": fused,
    "written out": written_out,
    "products": products,
    "no copy": no_copy,
}


def once(way: Way, batch: int, seq: int, length: int, dtype: torch.dtype) -> float:
    """Seconds of one layer, forward and backward."""
    torch.manual_seed(0)
    own = [(batch, heads, seq, DIM) for heads in (HEADS, KV_HEADS, KV_HEADS)]
    shapes = [*own, (1, KV_HEADS, length, DIM), (1, KV_HEADS, length, DIM)]
    tensors = [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]
    seen = torch.ones(seq, seq, dtype=torch.bool).tril()
    seen = torch.cat([torch.ones(seq, length, dtype=torch.bool), seen], -1).expand(batch, 1, -1, -1)
    mask = Mask(seen, torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min))
    start = time.perf_counter()
    out = way(*tensors, mask)
    took = time.perf_counter() - start
    slope = torch.randn_like(out)
    start = time.perf_counter()
    out.backward(slope)
    return took + time.perf_counter() - start


def main() -> None:
    """Measure, print the table, print one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--save", action="store_true", help="write the JSON to benchmarks/results/")
    options = parser.parse_args()
    dtype = getattr(torch, options.dtype)
    rate = copy_rate()
    print(f"{'batch x seq, prefix':<22}" + "".join(f"{name:>13}" for name in WAYS) + "  copies alone (ms)")
    found = []
    for batch, seq, length in SIZES:
        seconds: dict[str, list[float]] = {name: [] for name in WAYS}
        for i in range(options.rounds + 2):
            for name, way in WAYS.items():
                took = once(way, batch, seq, length, dtype)
                if i >= 2:
                    seconds[name].append(took)
        times = medians(seconds)
        # Keys and values, written once and read once more than without copying, and their gradients likewise.
        n_bytes = 2 * 2 * batch * KV_HEADS * length * DIM * dtype.itemsize
        cells = "".join(f"{1e3 * times[name]:13.2f}" for name in WAYS)
        print(f"{f'{batch} x {seq}, {length}':<22}{cells}  {1e3 * n_bytes / rate:.3f}", flush=True)
        found.append(
            {
                "batch": batch,
                "seq": seq,
                "prompt": length,
                "seconds": times,
                "copied_bytes": n_bytes,
                "copy_floor_s": n_bytes / rate,
            }
        )
    finish("attention", {"found": found, "copy_bytes_per_s": rate}, options.dtype, options.save)


if __name__ == "__main__":
    main()
