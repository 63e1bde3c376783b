"""The prompt before the first step, built from as many training examples as the method needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softprompt.config import RunSettings
from softprompt.data import Splits
from softprompt.errors import ConfigError
from softprompt.tasks import ClozeTask, Task
from softprompt.text import Template
from softprompt.training.distributed import Processes
from softprompt.training.setup.example_search import best_start

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


@dataclass(frozen=True)
class Beginning:
    """A task and its prompt before the first step.

    Args:
        task: with examples in its template, where the method shows examples to an encoder.
        prompt: on the backbone's device.
        draw_losses: of every draw of examples that the prompt could begin from; empty for a single draw.
    """

    task: Task
    prompt: "Prompt"
    draw_losses: Sequence[float] = ()


def begin(
    backbone: "Backbone", task: Task, settings: RunSettings, splits: Splits, processes: Processes
) -> Beginning:
    """Build the prompt from as many training examples as its method asks for.

    Args:
        backbone: the frozen model.
        task: without examples.
        settings: of the run.
        splits: the data; examples are drawn from the training set.
        processes: of the run.

    Raises:
        ConfigError: a template whose slots the method does not fill.
        DataError: too few training examples.
        PromptError: options that the method refuses.
    """
    from softprompt.prompts import METHODS, build_prompt, n_examples

    method, seed, n = settings.method, settings.training.seed, n_examples(settings.method)
    if METHODS[method.name].shows_examples:
        n = min(n, len(splits.train))
        if not backbone.is_causal:
            # An encoder's states of the examples depend on the text, so no prompt can hold them.
            if isinstance(task, ClozeTask):
                task = task.demonstrated(splits.train, n, method.max_tokens, seed)
            n = 0
    template = None if task.template is None else str(task.template)

    def build(examples: Sequence[Sequence[int]] | None) -> "Prompt":
        prompt = build_prompt(backbone, method, seed, examples, task.head, template)
        return prompt.to(backbone.device)

    draw_losses: Sequence[float] = ()
    n_draws = getattr(method, "draws", 1)
    if n and n_draws > 1:
        size = settings.training.batch_size
        best = best_start(backbone, task, splits.train, n, n_draws, build, processes, seed, size)
        prompt, draw_losses = best.prompt, best.losses
    else:
        prompt = build(task.demonstrations(splits.train, n, seed) if n else None)
    if task.template is not None:
        prompt = _made_for(prompt, task.template)
    return Beginning(task, prompt, draw_losses)


def _made_for(prompt: "Prompt", template: Template) -> "Prompt":
    """The prompt with the template on its card.

    Raises:
        ConfigError: slots that it does not fill.
    """
    fills = prompt.length if prompt.card.slots == "in_place" else 0
    if template.n_slots != fills:
        raise ConfigError(
            "task.template",
            f"{template.n_slots} slots for a {prompt.card.method} prompt that fills {fills}",
            "a template whose slots the method fills",
            "use method.name=p_tuning, or leave [soft] out",
        )
    return prompt.describe(template=str(template))
