"""Checks, before training, that the settings, data and backbone of a run fit together."""

from typing import TYPE_CHECKING

from softprompt.config import BackboneSettings, RunSettings
from softprompt.data import Splits
from softprompt.errors import ConfigError, counted
from softprompt.tasks import Task
from softprompt.training.distributed import Processes

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


def check_splits(settings: RunSettings, splits: Splits) -> None:
    """Check that the data has every set that the run needs.

    Raises:
        ConfigError: no training pairs, or no development set though a setting needs one.
    """
    if not splits.train:
        raise ConfigError(
            "data.train", "no training pairs", "at least one pair", "name the file in data.train"
        )
    training = settings.training
    for key, needs_dev in (
        ("patience", training.patience is not None),
        ("select", training.select != "loss"),
        ("evaluate_every", training.evaluate_every is not None),
    ):
        if needs_dev and not splits.dev:
            raise ConfigError(
                f"training.{key}",
                f"{getattr(training, key)!r} without a development set",
                "data.dev or data.dev_share",
                f"give one of them, or leave training.{key} out",
            )


def check_shard(frozen: BackboneSettings, processes: Processes, backbone: "Backbone | None") -> None:
    """Check that layers are shared out over the processes exactly where the settings ask for it.

    Args:
        frozen: settings of the backbone.
        processes: of the run.
        backbone: one that is already loaded; None loads it later.

    Raises:
        ConfigError: a single process, or a loaded backbone that the settings contradict.
    """
    if frozen.shard and processes.count == 1:
        raise ConfigError(
            "backbone.shard",
            "true in a single process",
            "several processes to share the layers out to",
            "start the run with `accelerate launch -m softprompt.cli.app train ...`, or leave shard out",
        )
    if backbone is not None and backbone.sharded != frozen.shard:
        is_, not_ = ("", "not ") if backbone.sharded else ("not ", "")
        got = f"{str(frozen.shard).lower()} for a backbone that is {is_}shared out"
        raise ConfigError("backbone.shard", got, f"a backbone that is {not_}")


def check_untrained(settings: RunSettings) -> None:
    """Raises ConfigError where a method that trains nothing is given steps or epochs."""
    training = settings.training
    what = "steps" if training.epochs is None else "epochs"
    n = getattr(training, what)
    if n:
        raise ConfigError(
            f"training.{what}",
            f"{counted(n, what.removesuffix('s'))} of {settings.method.name}, which trains nothing here",
            "no steps",
            "set training.steps=0 and training.epochs=null to measure it" if what == "epochs"
            else "set training.steps=0 to measure it",
        )  # fmt: skip


def check_prompt(settings: RunSettings, backbone: "Backbone", task: Task, prompt: "Prompt") -> None:
    """Check that training moves something, and that the task reads everything that the prompt enters.

    Raises:
        ConfigError: steps for a prompt without trained parameters, or a prompt for the decoder of an
            encoder-decoder whose head reads the encoder.
    """
    if prompt.n_trained_parameters == 0:
        check_untrained(settings)
    unread = sorted(set(prompt.card.sites) - {"encoder"})
    if task.head is not None and backbone.spec.is_encoder_decoder and unread:
        raise ConfigError(
            "method.sites",
            f"{' and '.join(unread)} for task '{settings.task.name}'",
            f"'encoder' alone: the decoder of {backbone.spec.name} reads nothing in this task",
            "set method.sites=[encoder]",
        )
