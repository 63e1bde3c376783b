"""Which examples each step sees: a pure function of lengths, settings and epoch.

Nothing here keeps state, so that a resumed run skips to its step exactly and every process of a
distributed run works out the same plan on its own.
"""

import random
from collections.abc import Sequence

from softprompt.config import TrainingSettings

# Sorting a quarter of an epoch at once leaves little padding and still mixes the batches well.
_BUCKETS_PER_EPOCH = 4
_LARGEST_BUCKET = 50


def steps_per_epoch(n_examples: int, batch_size: int) -> int:
    """Optimizer steps in one pass; the last, smaller batch counts."""
    return -(-n_examples // batch_size)


def plan(lengths: Sequence[int], settings: TrainingSettings, epoch: int) -> list[list[int]]:
    """The batches of one epoch, as indices into the examples; each example comes exactly once.

    With `by_length`, examples are shuffled, sorted by length within buckets of many batches, cut
    into batches, and the batches shuffled; otherwise it is a plain shuffle.

    Args:
        lengths: tokens of each example.
        epoch: from 0; every epoch has its own order.
    """
    size = settings.batch_size
    rng = random.Random(f"{settings.seed}/{epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    if settings.by_length:
        n_batches = steps_per_epoch(len(order), size)
        bucket = size * max(1, min(n_batches // _BUCKETS_PER_EPOCH, _LARGEST_BUCKET))
        order = [
            index
            for start in range(0, len(order), bucket)
            for index in sorted(order[start : start + bucket], key=lambda i: lengths[i])
        ]
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    if settings.by_length:
        rng.shuffle(batches)
    return batches


def share(batch: Sequence[int], rank: int, n_processes: int) -> list[int]:
    """One process's examples of a batch; empty when there are fewer examples than processes."""
    return list(batch[rank::n_processes])


def idle_passes(n_items: int, size: int, rank: int, n_processes: int) -> int:
    """By how many passes of `size` one process's share of some items is behind that of the first process."""
    first, own = (-(-len(range(r, n_items, n_processes)) // size) for r in (0, rank))
    return first - own


def within(batch: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """The batch cut into passes of similar lengths, each within a budget of tokens.

    Args:
        batch: indices of examples.
        lengths: tokens of each example.
        budget: tokens of a pass, padding counted: rows times the longest. A longer example is a pass alone.

    Returns:
        Each example exactly once, the shortest first.
    """
    passes: list[list[int]] = []
    for index in sorted(batch, key=lambda i: lengths[i]):
        if passes and (len(passes[-1]) + 1) * lengths[index] <= budget:
            passes[-1].append(index)
        else:
            passes.append([index])
    return passes


def parts(batch: Sequence[int], n_parts: int) -> list[list[int]]:
    """The batch cut into at most `n_parts` runs of neighbours, none empty, sizes within one."""
    n_parts = min(n_parts, len(batch))
    edges = [len(batch) * i // n_parts for i in range(n_parts + 1)] if n_parts else []
    return [list(batch[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
