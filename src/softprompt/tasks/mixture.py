"""Several tasks in one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from softprompt.tasks.generation import GenerationTask
from softprompt.tasks.reading import ReadingTask, read

if TYPE_CHECKING:
    from softprompt.backbones.backbone import Backbone


@dataclass(frozen=True)
class PartExample:
    """An encoded record of one of the tasks.

    Args:
        part: which one.
        example: as that task encodes it.
    """

    part: str
    example: Any

    @property
    def id(self) -> str:
        """The record it comes from, behind the name of its part."""
        return f"{self.part}/{self.example.id}"

    @property
    def length(self) -> int:
        """Tokens."""
        return self.example.length

    @property
    def n_targets(self) -> int:
        """Losses summed."""
        return self.example.n_targets

    @property
    def n_rows(self) -> int:
        """Rows of the batch."""
        return self.example.n_rows


class Mixture:
    """Tasks whose examples share a batch and a pass of the backbone.

    Args:
        backbone: the frozen model.
        tasks: by the name of their part; all of them with heads, or all of them generation.
    """

    def __init__(self, backbone: "Backbone", tasks: Mapping[str, Any]):
        self.backbone = backbone
        self.tasks = dict(tasks)

    def rows(self, examples: Sequence[PartExample]) -> list[int]:
        """For each row of the batch the index of its part, for `backbone.prompted(prompts, rows=...)`."""
        names = list(self.tasks)
        return [names.index(example.part) for example in examples for _ in range(example.n_rows)]

    def losses(self, examples: Sequence[PartExample]) -> dict[str, torch.Tensor]:
        """Summed loss of each part that is there; call it with `rows` active."""
        inside = [example.example for example in examples]
        totals: dict[str, torch.Tensor] = {}
        some = next(iter(self.tasks.values()))
        if isinstance(some, GenerationTask):
            by_example = some.losses(inside)
            for part in self.tasks:
                mine = [i for i, example in enumerate(examples) if example.part == part]
                if mine:
                    totals[part] = by_example[mine].sum()
            return totals
        for group in read(self.backbone, inside):
            # One prompt serves one part, so all members are of one task.
            part = examples[group.members[0]].part
            task: ReadingTask = self.tasks[part]
            totals[part] = task.loss_of(group, [inside[i] for i in group.members])
        return totals
