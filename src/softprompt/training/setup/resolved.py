"""A run's settings with every open choice filled in."""

from collections.abc import Mapping

from softprompt.config import MixtureSettings, RunSettings
from softprompt.training.setup.components import RunComponents


def resolve_parts(
    settings: RunSettings | MixtureSettings, parts: Mapping[str, RunComponents], steps_per_epoch: int
) -> RunSettings | MixtureSettings:
    """The settings of a whole run with the choices filled in that hold for all of its tasks."""
    first = resolve(next(iter(parts.values())), steps_per_epoch)
    if isinstance(settings, RunSettings):
        return first
    every = first.training.evaluate_every
    training = settings.training.model_copy(update={"evaluate_every": every})
    return settings.model_copy(update={"backbone": first.backbone, "training": training})


def resolve(parts: RunComponents, steps_per_epoch: int) -> RunSettings:
    """The settings of one task with every `None` that means "choose for me" replaced by the choice."""
    settings, card = parts.settings, parts.prompt.card
    # A method of another package may mean something else by these names, so that what was set stays.
    made = {"length": card.length, "positions": card.positions, "sites": list(card.sites)}
    chosen = {key: value for key, value in made.items() if getattr(settings.method, key, None) is None}
    if getattr(settings.method, "tune", None) == "auto":
        chosen["tune"] = card.tune
    if card.inserts is not None and card.inserts.kind == "lora":
        chosen["targets"] = list(card.inserts.targets)
    method = {key: value for key, value in chosen.items() if key in type(settings.method).model_fields}
    task: dict[str, object] = {}
    if card.head is not None:
        chosen = {"labels": list(card.head.labels), "pooling": card.head.pooling}
        task = {key: value for key, value in chosen.items() if key in type(settings.task).model_fields}
    task |= parts.task.resolved
    backbone = {
        "dtype": str(parts.backbone.dtype).removeprefix("torch."),
        "device": str(parts.backbone.device),
        "attention": parts.backbone.model.config._attn_implementation,
    }
    training = {"evaluate_every": settings.training.evaluate_every or steps_per_epoch}
    decoding = {"max_new_tokens": parts.task.decoding.max_new_tokens} if settings.task.writes_text else {}
    return settings.model_copy(
        update={
            "method": settings.method.model_copy(update=method),
            "task": settings.task.model_copy(update=task),
            "backbone": settings.backbone.model_copy(update=backbone),
            "decoding": settings.decoding.model_copy(update=decoding),
            "training": settings.training.model_copy(update=training if parts.splits.dev else {}),
        }
    )
