"""From one run's settings to the things that it trains with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from softprompt.config import RunSettings
from softprompt.data import Splits
from softprompt.data import load as load_splits
from softprompt.data.readers import FORMATS
from softprompt.errors import ConfigError
from softprompt.tasks.registry import build_task, labels_of
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


def assemble(settings: RunSettings, processes: Processes, backbone: "Backbone | None" = None) -> Assembly:
    """Load the data and the backbone, and build the task and the prompt.

    Args:
        backbone: one already loaded as the settings say; None loads it.

    Raises:
        ConfigError: no training pairs, or a development set is needed and there is none.
        SoftpromptError: whatever the rooms find wrong.
    """
    from softprompt.prompts.methods import build

    # The data comes first: its mistakes show in a second, a backbone takes longer.
    splits = load_splits(settings.data)
    check_splits(settings, splits)
    labels = labels_of(settings.task, FORMATS[settings.data.format].labels, splits.train)
    backbone = backbone or load(settings, processes.device)
    task = build_task(backbone, settings.task, settings.decoding, labels)
    for records in (splits.train, splits.dev, splits.test):
        task.check(records)
    examples = None
    kind, _, count = getattr(settings.method, "initialization", "").partition(":")
    if kind == "examples" and count.strip().isdigit():
        examples = task.demonstrations(splits.train, int(count), settings.training.seed)
    prompt = build(backbone, settings.method, settings.training.seed, examples, task.head)
    prompt = prompt.to(backbone.device)
    unread = sorted(set(prompt.card.sites) - {"encoder"})
    if task.head is not None and backbone.spec.is_encoder_decoder and unread:
        raise ConfigError(
            "method.sites",
            f"{' and '.join(unread)} for task '{settings.task.name}'",
            f"'encoder' alone: the decoder of {backbone.spec.name} reads nothing in this task",
            "set method.sites=[encoder]",
        )
    taken = prompt.length if prompt.card.positions == "shifted" else 0
    task.check_positions(splits.train, taken, training=True)
    task.check_positions([*splits.dev, *splits.test], taken, training=False)
    return Assembly(backbone, task, prompt, splits, settings)


def load(settings: RunSettings, device: str | None) -> "Backbone":
    """The backbone that the settings name."""
    from softprompt.backbones.load import load_backbone

    frozen = settings.backbone
    return load_backbone(frozen.name, dtype=frozen.dtype, device=device, attention=frozen.attention)


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
    chosen = {"length": card.length, "positions": card.positions, "sites": list(card.sites)}
    if card.inserts is not None and card.inserts.kind == "lora":
        chosen["targets"] = list(card.inserts.targets)
    method = {key: value for key, value in chosen.items() if key in type(settings.method).model_fields}
    task: dict[str, object] = {}
    if card.head is not None:
        chosen = {"labels": list(card.head.labels), "pooling": card.head.pooling}
        task = {key: value for key, value in chosen.items() if key in type(settings.task).model_fields}
    backbone = {
        "dtype": str(parts.backbone.dtype).removeprefix("torch."),
        "device": str(parts.backbone.device),
        "attention": parts.backbone.model.config._attn_implementation,
    }
    training = {"evaluate_every": settings.training.evaluate_every or steps_per_epoch}
    return settings.model_copy(
        update={
            "method": settings.method.model_copy(update=method),
            "task": settings.task.model_copy(update=task),
            "backbone": settings.backbone.model_copy(update=backbone),
            "training": settings.training.model_copy(update=training if parts.splits.dev else {}),
        }
    )
