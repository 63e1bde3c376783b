"""One objective and one evaluation for a run over several tasks."""

from collections.abc import Mapping

from softprompt.config import MixtureSettings, RunSettings
from softprompt.metrics import higher_is_better
from softprompt.tasks import PartExample
from softprompt.training.loop import Objective, OneTask, PromptSet, SeveralTasks
from softprompt.training.task_run import TaskRun


def objective_of(settings: RunSettings | MixtureSettings, tasks: Mapping[str, TaskRun]) -> Objective:
    """One prompt on one task, one on several, or one on each of several.

    Args:
        settings: of the run.
        tasks: by the names of their parts.
    """
    first = next(iter(tasks.values()))
    backbone, training = first.parts.backbone, settings.training
    if isinstance(settings, RunSettings):
        return Objective(OneTask(backbone, first.parts.task, first.parts.prompt), first.examples, training)
    prompts = PromptSet({name: task.parts.prompt for name, task in tasks.items()})
    several = SeveralTasks(backbone, {name: task.parts.task for name, task in tasks.items()}, prompts)
    mixed = [PartExample(name, example) for name, task in tasks.items() for example in task.examples]
    groups = several.groups(mixed) if settings.prompts == "separate" else None
    return Objective(several, mixed, training, groups)


def turned(metric: str, value: float) -> float:
    """A metric's value so that more is better, and back."""
    return value if higher_is_better(metric) else -value


def joined(measured: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The evaluations of several parts in one mapping: the means, and each part's values as `part.loss` or
    `part.metric`.

    Args:
        measured: by part its `loss` and, if a metric selects the best prompt, that metric. The result names
            every such metric `metric`, with the sign turned so that more is better.
    """
    values = {
        f"{name}.{'loss' if what == 'loss' else 'metric'}": value if what == "loss" else turned(what, value)
        for name, of_part in measured.items()
        for what, value in of_part.items()
    }
    kinds = dict.fromkeys(key.rpartition(".")[2] for key in values)
    means = {kind: sum(values[f"{name}.{kind}"] for name in measured) / len(measured) for kind in kinds}
    return {**means, **values}
