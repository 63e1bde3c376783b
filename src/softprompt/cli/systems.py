"""The measured system: a backbone with its task, under a prompt, under examples, or alone."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.config import RunSettings
    from softprompt.data import AnyRecord
    from softprompt.prompts import Prompt
    from softprompt.tasks import Task
    from softprompt.training import Processes


def check_baseline(settings: "RunSettings") -> None:
    """Check that the task needs no trained head.

    Raises:
        ConfigError: it needs one.
    """
    from softprompt.errors import ConfigError

    if settings.task.has_head:
        raise ConfigError(
            "--no-prompt, --demonstrations",
            f"one of the two for task '{settings.task.name}', whose answer a trained head gives",
            "a prompt with its head",
            "train the baseline instead: --set method.name=head_only",
        )


def load_task(
    settings: "RunSettings",
    processes: "Processes",
    prompt: Path | None,
    records: list["AnyRecord"],
    train: list["AnyRecord"],
) -> tuple["Backbone", "Task"]:
    """The backbone, and the task with the labels of the prompt's head.

    Args:
        settings: of the run.
        processes: that decode together.
        prompt: folder of the prompt; None where there is none.
        records: to score.
        train: the training pairs, on which labels and a template can depend.
    """
    from softprompt.data import FORMATS
    from softprompt.files import read_card
    from softprompt.tasks import build_task, labels_of
    from softprompt.training import load_frozen, with_template

    # Labels and their order are those of the head; `load_prompt` refuses other ones in the settings.
    head = None if prompt is None else read_card(prompt).head
    # A single process holds the whole backbone, also after a run that shared out its layers.
    backbone = load_frozen(
        settings.backbone, processes.device, settings.backbone.shard and processes.count > 1
    )
    form = FORMATS[settings.data.format]
    if head is None or settings.task.takes_template:
        labels = labels_of(settings.task, form.labels, train or records)
        settings = with_template(settings, [*train, *records], backbone)
    else:
        labels = getattr(settings.task, "labels", None) or (head.labels if head is not None else ())
    task = build_task(backbone, settings.task, settings.decoding, labels, form.fields)
    task.settle(train)
    return backbone, task


def load_system(
    backbone: "Backbone",
    task: "Task",
    folder: Path | None,
    n_demonstrations: int | None,
    train: list["AnyRecord"],
    settings: "RunSettings",
) -> "Prompt | None":
    """What the backbone works under: the prompt, a prefix of training examples, or nothing (None).

    Args:
        backbone: the frozen model.
        task: to be answered.
        folder: of the prompt; None where there is none.
        n_demonstrations: how many training examples stand before every text; None is none.
        train: the training pairs.
        settings: of the run.

    Raises:
        ConfigError: a prompt of another task, or demonstrations for an encoder-decoder.
        SoftpromptError: whatever is wrong with the prompt's files.
    """
    from softprompt.answers import check_same_task
    from softprompt.errors import ConfigError
    from softprompt.prompts import load_prompt, prefix_tuning

    if folder is not None:
        prompt = load_prompt(folder, backbone).to(backbone.device)
        check_same_task({"name": settings.task.name}, prompt.card, str(folder))
        task.check_head(prompt)
        return prompt
    if n_demonstrations is None:
        return None
    if backbone.spec.is_encoder_decoder:
        raise ConfigError(
            "--demonstrations", f"{backbone.spec.name}, an encoder-decoder", "a decoder", "use --no-prompt"
        )
    # The prefix holds exactly the keys and values that a decoder computes for examples before a text.
    examples = task.demonstrations(train, n_demonstrations, settings.training.seed)
    initialization = f"examples:{n_demonstrations}"
    prefix = prefix_tuning(
        backbone, reparameterization=None, initialization=initialization, examples=examples
    )
    return prefix.to(backbone.device)
