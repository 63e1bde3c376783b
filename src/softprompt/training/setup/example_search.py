"""Which training examples a prompt begins from: the best of several draws."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softprompt.errors import ConfigError
from softprompt.tasks import Task
from softprompt.training.distributed import Processes
from softprompt.training.evaluation import mean_loss

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt

JUDGES = 32
"""Training records on which every draw is measured; none of them is drawn."""


@dataclass(frozen=True)
class Draws:
    """The start with the lowest loss, and the loss of every draw."""

    prompt: "Prompt"
    losses: tuple[float, ...]


def best_start(
    backbone: "Backbone",
    task: Task,
    records: Sequence[Any],
    n_examples: int,
    n_draws: int,
    build: Callable[[list[list[int]]], "Prompt"],
    processes: Processes,
    seed: int,
    batch_size: int = 16,
) -> Draws:
    """Draw examples several times and keep the prompt that begins with the lowest loss.

    Source: none of the papers. In-context learning varies by points with the examples that are read, and a
    prefix that is these examples' keys and values begins where in-context learning stands.

    Args:
        records: of the training set. Draws are measured on up to `JUDGES` of them (a half, where there are
            fewer), and made from the others.
        n_examples: examples of a draw.
        n_draws: how many draws; each costs one pass over those records, without gradients.
        build: makes the prompt that begins from these examples' token ids.
        seed: of the choice of those records and of the draws.

    Raises:
        ConfigError: the task has a head, which begins at random numbers.
        DataError: too few records to draw from.
        SoftpromptError: as `build` does, and where a draw is too long for the backbone.
    """
    if task.head is not None:
        raise ConfigError(
            "method.draws",
            f"{n_draws} for a task with a head",
            "1, since the losses of an untrained head say nothing of the examples",
            "leave draws out",
        )
    order = random.Random(f"draws {seed}").sample(list(records), len(records))
    n_judges = min(JUDGES, len(order) // 2)
    judges, pool = order[:n_judges], order[n_judges:]
    encoded = [task.encode(record) for record in judges]
    best: Prompt | None = None
    losses: list[float] = []
    for draw in range(n_draws):
        prompt = build(task.demonstrations(pool, n_examples, draw))
        task.check_positions(judges, prompt.card.n_positions, training=True)
        loss = mean_loss(backbone, task, prompt, encoded, batch_size, processes)
        if not losses or loss < min(losses):
            best = prompt
        losses.append(loss)
    assert best is not None
    return Draws(best, tuple(losses))
