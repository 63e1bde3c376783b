"""From one run's settings to the things that it trains with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from softprompt.config import RunSettings
from softprompt.data import Splits, load
from softprompt.errors import ConfigError
from softprompt.tasks.task import Task
from softprompt.training.processes import Processes

if TYPE_CHECKING:
    from softprompt.backbones.backbone import Backbone
    from softprompt.prompts.prompt import Prompt


@dataclass(frozen=True)
class Assembly:
    """Everything one run needs, and its settings with nothing left open."""

    backbone: "Backbone"
    task: Task
    prompt: "Prompt"
    splits: Splits
    settings: RunSettings


def assemble(settings: RunSettings, processes: Processes) -> Assembly:
    """Load the data and the backbone, and build the task and the prompt.

    Raises:
        ConfigError: no training pairs, or a development set is needed and there is none.
        SoftpromptError: whatever the rooms find wrong.
    """
    from softprompt.backbones.load import load_backbone
    from softprompt.prompts.methods import build
    from softprompt.tasks.generation import GenerationTask

    # The data comes first: its mistakes show in a second, a backbone takes longer.
    splits = load(settings.data)
    check_splits(settings, splits)
    frozen = settings.backbone
    backbone = load_backbone(
        frozen.name, dtype=frozen.dtype, device=processes.device, attention=frozen.attention
    )
    task = GenerationTask(backbone, settings.task, settings.decoding)
    examples = None
    kind, _, count = settings.method.initialization.partition(":")
    if kind == "examples" and count.strip().isdigit():
        examples = task.demonstrations(splits.train, int(count), settings.training.seed)
    prompt = build(backbone, settings.method, settings.training.seed, examples).to(backbone.device)
    taken = prompt.length if prompt.card.positions == "shifted" else 0
    task.check_positions(splits.train, taken, training=True)
    task.check_positions([*splits.dev, *splits.test], taken, training=False)
    return Assembly(backbone, task, prompt, splits, settings)


def check_splits(settings: RunSettings, splits: Splits) -> None:
    """Raises ConfigError where the run needs a set that the data settings do not give."""
    if not splits.train:
        raise ConfigError("data.train", "no training pairs", "at least one", "name the file in data.train")
    training = settings.training
    for key, wanted in (
        ("patience", training.patience is not None),
        ("select", training.select != "loss"),
        ("evaluate_every", training.evaluate_every is not None),
    ):
        if wanted and not splits.dev:
            raise ConfigError(
                f"training.{key}",
                f"{getattr(training, key)!r} without a development set",
                "data.dev or data.dev_share",
                f"give one, or leave training.{key} out",
            )


def resolve(parts: Assembly, steps_per_epoch: int) -> RunSettings:
    """The run's settings with every `None` that means "choose for me" replaced by the choice."""
    settings, card = parts.settings, parts.prompt.card
    method: dict[str, object] = {"length": card.length, "positions": card.positions}
    if settings.method.name == "prefix_tuning":
        method["sites"] = list(card.sites)
    backbone = {
        "dtype": str(parts.backbone.dtype).removeprefix("torch."),
        "device": str(parts.backbone.device),
        "attention": parts.backbone.model.config._attn_implementation,
    }
    training = {"evaluate_every": settings.training.evaluate_every or steps_per_epoch}
    return settings.model_copy(
        update={
            "method": settings.method.model_copy(update=method),
            "backbone": settings.backbone.model_copy(update=backbone),
            "training": settings.training.model_copy(update=training if parts.splits.dev else {}),
        }
    )
