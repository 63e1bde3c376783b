"""The schedule of a run: the batches of an epoch, the passes of a step, and its learning rate.

All are pure functions of settings, step and epoch, so that a resumed run continues at the exact step, and
every process of a distributed run computes the same plan.
"""

import math
import random
from collections.abc import Sequence

from softprompt.config import USUAL_RATE, TrainingSettings
from softprompt.errors import ConfigError, counted

USUAL_STEPS = 200
"""The steps of a run that says neither steps nor epochs, where its epochs are neither few nor many."""

STEPS_OF_TEXTS = 60
"""The same of a task that writes texts, whose model can write already."""

FEWEST_EPOCHS, MOST_EPOCHS = 3, 50
"""The bounds of such a run: large sets are read this often, and small ones not more often."""

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


def rank_slice(batch: Sequence[int], rank: int, n_processes: int) -> list[int]:
    """One process's examples of a batch; empty when there are fewer examples than processes."""
    return list(batch[rank::n_processes])


def idle_passes(n_items: int, size: int, rank: int, n_processes: int) -> int:
    """How many passes of `size` one process has fewer than the first, which has the most."""
    first, own = (-(-len(range(r, n_items, n_processes)) // size) for r in (0, rank))
    return first - own


def passes(
    batch: Sequence[int],
    lengths: Sequence[int],
    settings: TrainingSettings,
    rank: int = 0,
    n_processes: int = 1,
    together: bool = False,
) -> list[tuple[list[int], bool]]:
    """The passes into which one process cuts its share of a step, and whether each pass counts.

    Args:
        batch: indices of the whole step's examples.
        lengths: tokens of each example.
        settings: of the training, with `max_tokens_per_pass` or `accumulation`.
        rank: of the process.
        n_processes: that share the batch.
        together: whether all processes run equally many passes, which sharded layers need; a process with
            fewer passes adds some that do not count.
    """

    def of(rank: int) -> list[list[int]]:
        own = rank_slice(batch, rank, n_processes)
        if settings.max_tokens_per_pass is None:
            return micro_batches(own, settings.accumulation)
        return micro_batches_by_tokens(own, lengths, settings.max_tokens_per_pass)

    counting = [(part, True) for part in of(rank)]
    if not together:
        return counting
    most = max(len(of(other)) for other in range(n_processes))
    shortest = min(batch, key=lambda i: lengths[i])
    return counting + [([shortest], False)] * (most - len(counting))


def micro_batches_by_tokens(batch: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
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


def micro_batches(batch: Sequence[int], n_parts: int) -> list[list[int]]:
    """The batch cut into at most `n_parts` runs of neighbours, none empty, sizes within one."""
    n_parts = min(n_parts, len(batch))
    edges = [len(batch) * i // n_parts for i in range(n_parts + 1)] if n_parts else []
    return [list(batch[a:b]) for a, b in zip(edges, edges[1:], strict=False)]


def learning_rate(step: int, n_steps: int, settings: TrainingSettings, steps_per_epoch: int = 1) -> float:
    """The learning rate for step `step` (from 0) of `n_steps`.

    The warm-up rises in equal parts from rate / warm-up steps, not from 0. Afterwards `linear` falls towards
    0, which it would reach one step after the last, and `exponential` multiplies the rate by `decay` after
    every epoch, those of the warm-up included.
    """
    rate = USUAL_RATE if settings.learning_rate is None else settings.learning_rate
    warmup = settings.warmup_steps or 0
    if step < warmup:
        return rate * (step + 1) / warmup
    done = (step - warmup) / (n_steps - warmup)
    if settings.schedule == "constant":
        return rate
    if settings.schedule == "exponential":
        return rate * settings.decay ** (step // steps_per_epoch)
    if settings.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * done))
    return rate * (1 - done)


def n_steps(settings: TrainingSettings, steps_per_epoch: int, usual: int | None = None) -> int:
    """The optimizer steps of a run.

    Args:
        settings: of the training, which may say neither steps nor epochs.
        steps_per_epoch: of the training examples.
        usual: how many the task usually takes, for settings that say neither; None is `USUAL_STEPS`. Whole
            epochs come nearest from above, at least `FEWEST_EPOCHS`, and at most `MOST_EPOCHS`.
    """
    if settings.steps is not None:
        return settings.steps
    wanted = -(-(usual or USUAL_STEPS) // steps_per_epoch)
    return (settings.epochs or min(max(wanted, FEWEST_EPOCHS), MOST_EPOCHS)) * steps_per_epoch


def check_warmup(n_steps: int, settings: TrainingSettings) -> None:
    """Raises ConfigError when the warm-up is as long as the run."""
    if settings.warmup_steps and settings.warmup_steps >= n_steps:
        raise ConfigError(
            "training.warmup_steps",
            settings.warmup_steps,
            f"fewer than the run's {counted(n_steps, 'step')}",
            "shorten the warm-up or train longer",
        )
