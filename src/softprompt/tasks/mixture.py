"""Several tasks in one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from softprompt.errors import ConfigError
from softprompt.tasks.headed import HeadTask, read

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


@dataclass(frozen=True)
class PartExample:
    """An encoded record of one of the tasks.

    Args:
        part: the name of the task's part.
        example: the record as the task encodes it.
    """

    part: str
    example: Any

    @property
    def id(self) -> str:
        """Of the record, behind the name of its part."""
        return f"{self.part}/{self.example.id}"

    @property
    def length(self) -> int:
        """Number of tokens."""
        return self.example.length

    @property
    def n_targets(self) -> int:
        """Number of losses that are summed."""
        return self.example.n_targets

    @property
    def n_rows(self) -> int:
        """Number of rows in a batch."""
        return self.example.n_rows


class Mixture:
    """Tasks whose examples share a batch and a pass of the backbone.

    Source: Prefix-Tuning (2101.00190) §8.1, batching across users: rows of one batch have different prompts.

    Args:
        backbone: the frozen model.
        tasks: of one batch group, by the name of their part.

    Raises:
        ConfigError: a task without a head that has no method `losses`.
    """

    def __init__(self, backbone: "Backbone", tasks: Mapping[str, Any]):
        self.backbone = backbone
        self.tasks = dict(tasks)
        for name, task in self.tasks.items():
            if not isinstance(task, HeadTask) and not hasattr(task, "losses"):
                got = f"a {type(task).__name__} without a loss for each example"
                raise ConfigError(f"parts.{name}.task", got, "a class with a method losses")

    def present(self, examples: Sequence[PartExample]) -> list[str]:
        """The parts of some examples, in the order of the tasks."""
        parts = {example.part for example in examples}
        return [name for name in self.tasks if name in parts]

    def rows(self, examples: Sequence[PartExample]) -> list[int]:
        """For each row of the batch the index of its part among `present(examples)`."""
        index = {name: i for i, name in enumerate(self.present(examples))}
        return [index[example.part] for example in examples for _ in range(example.n_rows)]

    def losses(self, examples: Sequence[PartExample]) -> dict[str, torch.Tensor]:
        """Summed loss of each part that is present.

        The call belongs inside `backbone.prompted(prompts, rows=self.rows(examples))`, with the prompts of
        `present(examples)`.

        Returns:
            Float32 scalars, differentiable, each equal to the `loss` of the part's own task.
        """
        inside = [example.example for example in examples]
        names = self.present(examples)
        first = self.tasks[names[0]]
        if not isinstance(first, HeadTask):
            # Tasks of one group and one backbone differ in their examples alone.
            by_example = first.losses(inside)
            places = {name: [i for i, e in enumerate(examples) if e.part == name] for name in names}
            return {name: by_example[indices].sum() for name, indices in places.items()}
        totals: dict[str, torch.Tensor] = {}
        for group in read(self.backbone, inside):
            # One prompt serves one part, so that all members are of one task.
            part = examples[group.members[0]].part
            totals[part] = self.tasks[part].loss_of(group, [inside[i] for i in group.members])
        return totals
