"""Several prompts, or several heads on one prompt, trained in the same batches."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from softprompt.tasks import Mixture, PartExample
from softprompt.training.loop.objective import Group

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


class PromptSet(nn.Module):
    """Prompts by the name of their part; they may share parameters.

    Args:
        prompts: at least one.
    """

    def __init__(self, prompts: Mapping[str, "Prompt"]):
        super().__init__()
        self._index = {name: i for i, name in enumerate(prompts)}
        # A list, since a ModuleDict refuses a part named `keys`.
        self.prompts = nn.ModuleList(prompts.values())
        owners = Counter(id(p) for prompt in prompts.values() for p in prompt.parameters())
        self.own = {
            name: [p for p in prompt.parameters() if p.requires_grad and owners[id(p)] == 1]
            for name, prompt in prompts.items()
        }
        """The trained parameters that belong to one part alone."""

    def __getitem__(self, name: str) -> "Prompt":
        return self.prompts[self._index[name]]  # type: ignore[return-value]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def tensors_of(self, name: str) -> str:
        """The prefix of a part's tensor names in the state of the set."""
        return f"prompts.{self._index[name]}."


class SeveralTasks:
    """Prompts by part, and the mixture of tasks that they are trained on; a `Trained`.

    Without groups this is multi-task learning with a shared prompt (P-Tuning v2, 2110.07602, §3.2: each task
    has its own linear classifier; a step without an example of a part leaves that part's head unchanged).
    With a group for each part (`groups`) every prompt is trained as though alone (Prefix-Tuning, 2101.00190,
    §8.1, batching across users): every part has its own batches, mean loss, gradient norm, best step and
    patience, and only the pass over the frozen backbone is shared. Two things differ from training alone: the
    random draws of dropout, and the steps of evaluation, which are the same for all parts (by default after
    each epoch of the largest).

    Args:
        backbone: the frozen model.
        tasks: by the name of their part.
        prompts: of the same parts.
    """

    def __init__(self, backbone: "Backbone", tasks: Mapping[str, Any], prompts: PromptSet):
        self.backbone, self.module = backbone, prompts
        self._mixture = Mixture(backbone, tasks)

    def throughout(self) -> AbstractContextManager[Any]:
        """An empty context, since the active prompts depend on the examples."""
        return nullcontext()

    def prompted(self, examples: Sequence[PartExample]) -> AbstractContextManager[Any]:
        """Every row under the prompt of its part."""
        prompts = [self.module[name] for name in self._mixture.present(examples)]
        if len(prompts) == 1:
            return self.backbone.prompted(prompts[0])
        return self.backbone.prompted(prompts, rows=self._mixture.rows(examples))

    def losses(self, examples: Sequence[PartExample]) -> dict[str, Tensor]:
        """The summed loss of each part that is present."""
        return self._mixture.losses(examples)

    def absent(self, examples: Sequence[PartExample]) -> list[nn.Parameter]:
        """The own parameters of the parts without an example."""
        present = self._mixture.present(examples)
        return [p for name in self.module if name not in present for p in self.module.own[name]]

    def groups(self, examples: Sequence[PartExample]) -> list[Group]:
        """Each part as a group of its own."""
        return [
            Group(
                name,
                [i for i, example in enumerate(examples) if example.part == name],
                self.module.own[name],
                self.module.tensors_of(name),
            )
            for name in self.module
        ]
