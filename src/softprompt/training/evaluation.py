"""Measuring a prompt: the loss on held-out pairs, and scores of what it generates."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from softprompt.data import AnyRecord
from softprompt.errors import TrainingError
from softprompt.metrics import require_libraries
from softprompt.tasks import AnyExample, Outcome, ScoreRow, Task
from softprompt.training.distributed import Processes
from softprompt.training.loop import idle_passes, rank_slice

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


@dataclass(frozen=True)
class Scored:
    """Outputs of one prompt on some records, and a row of scores per group.

    Args:
        outcomes: one per record.
        rows: of scores.
        n_cut: outputs that reached the limit of decoding before their end, of all processes.
        note: says so in a sentence; empty where there are none.
    """

    outcomes: list[Outcome]
    rows: list[ScoreRow]
    n_cut: int = 0
    note: str = ""

    @property
    def outputs(self) -> list[Any]:
        """The outputs alone."""
        return [outcome.output for outcome in self.outcomes]


def mean_loss(
    backbone: "Backbone",
    task: Task,
    prompt: "Prompt | None",
    examples: Sequence[AnyExample],
    batch_size: int,
    processes: Processes,
    check: Callable[[], None] = lambda: None,
) -> float:
    """Mean negative log-likelihood of a target token in nats, under any setting of `training.loss`.

    Args:
        prompt: None measures the bare backbone.
        check: called between batches; may raise to stop.
    """
    total, n_targets = 0.0, 0
    mine = sorted(
        rank_slice(range(len(examples)), processes.rank, processes.count), key=lambda i: examples[i].length
    )
    with torch.no_grad(), evaluating(prompt), backbone.prompted(prompt):
        for start in range(0, len(mine), batch_size):
            check()
            batch = [examples[i] for i in mine[start : start + batch_size]]
            total += float(task.loss(batch))
            n_targets += sum(example.n_targets for example in batch)
        if backbone.sharded:  # all processes must run the same number of passes
            for _ in range(idle_passes(len(examples), batch_size, processes.rank, processes.count)):
                task.loss(examples[:1])
    sums = torch.tensor([total, n_targets], dtype=torch.float32, device=backbone.device)
    if processes.count > 1:
        total, n_targets = processes.sum([sums])[0].tolist()
    return total / n_targets


def generate_and_score(
    backbone: "Backbone",
    task: Task,
    prompt: "Prompt | None",
    records: Sequence[AnyRecord],
    metrics: Sequence[str],
    processes: Processes,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Scored:
    """Generate an output for every record and score them.

    Args:
        prompt: None measures the bare backbone.
        progress: called after every batch with the number of records in it (this process's).

    Raises:
        SoftpromptError: the library of a metric is not installed.
    """
    require_libraries(metrics)
    mine = [records[i] for i in rank_slice(range(len(records)), processes.rank, processes.count)]
    n_mine, n_cut = len(mine), 0
    outcomes: list[Outcome] = []
    if backbone.sharded:  # all processes must run the same number of passes
        mine += records[: idle_passes(len(records), 1, processes.rank, processes.count)]
    if mine:
        with torch.no_grad(), evaluating(prompt), backbone.prompted(prompt):
            outcomes = task.outcomes(mine, progress=progress, seed=seed)[:n_mine]
        n_cut = sum(place < n_mine for place in task.cut_answers)
    outcomes = processes.gather(outcomes, len(records))
    if processes.count > 1:
        n_cut = int(processes.sum([torch.tensor([float(n_cut)], device=backbone.device)])[0].item())
    rows = task.score(records, [outcome.output for outcome in outcomes], metrics)
    return Scored(outcomes, list(rows), n_cut, task.answer_note(n_cut))


def overall(rows: Sequence[ScoreRow], metric: str) -> float:
    """The value of one metric on all records.

    Raises:
        TrainingError: the metric could not be computed here, with the scorer's own note.
    """
    for row in rows:
        if row["group"] == "all" and metric in row["values"]:
            return float(row["values"][metric])
    notes = "; ".join(note for row in rows for note in row["notes"]) or "no note"
    raise TrainingError(
        "training.select",
        repr(metric),
        "a metric that can be computed here",
        f"see the scorer's notes: {notes}",
    )


@contextmanager
def evaluating(prompt: nn.Module | None) -> Iterator[None]:
    """Switch the prompt's dropout off inside the context, and restore its mode afterwards."""
    if prompt is None:
        yield
        return
    was_training = prompt.training
    prompt.eval()
    try:
        yield
    finally:
        prompt.train(was_training)
