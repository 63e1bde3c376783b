"""Settings of the training: steps, rates, batches, evaluations, and what is cached below the prompts."""

import re
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from softprompt.config.base import Rate, Seed, Settings
from softprompt.errors import Problem

USUAL_RATE = 1e-2
"""The learning rate of a method that declares none."""

_UNITS = {"B": 1}
_UNITS |= {f"{letter}B": 1000**power for power, letter in enumerate("KMGT", start=1)}
_UNITS |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", start=1)}


class TrunkCacheSettings(Settings):
    store: Literal["memory"]
    """Where states are stored: in the process's memory."""
    limit: str = "2 GB"
    """The largest size of the states of each process, with a unit from B to TB or TiB."""
    folder: None = None
    """No longer offered; only null is accepted, for older settings."""

    @field_validator("limit", mode="before")
    @classmethod
    def _readable(cls, raw: Any) -> Any:
        if not isinstance(raw, str) or _bytes(raw) is None:
            expected = "a number above 0 with a unit, e.g. '500 MB' or '2 GiB'"
            raise ValueError(Problem("training.trunk_cache.limit", repr(raw), expected))
        return raw

    @field_validator("store", "folder", mode="before")
    @classmethod
    def _no_disk(cls, raw: Any, info: ValidationInfo) -> Any:
        if raw == "disk" or (info.field_name == "folder" and raw is not None):
            allowed = "'memory'" if info.field_name == "store" else "no folder"
            expected = f"{allowed}, since states are no longer kept on a disk"
            do = "set training.trunk_cache.store=memory, and leave training.trunk_cache.folder out"
            raise ValueError(Problem(f"training.trunk_cache.{info.field_name}", repr(raw), expected, do))
        return raw

    @property
    def limit_bytes(self) -> int:
        """The limit as a number."""
        found = _bytes(self.limit)
        assert found is not None  # checked when it was read
        return found


def _bytes(text: str) -> int | None:
    """The number of bytes of a text such as `500 MB`; None for any other text."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if match is None or match[2].upper() not in _UNITS:
        return None
    return int(float(match[1]) * _UNITS[match[2].upper()]) or None


class TrainingSettings(Settings):
    steps: int | None = Field(default=None, ge=0)
    """Optimizer steps; give this or `epochs`. 0 measures the prompt untrained. Without both, the number
    follows from the task and the number of training examples (docs/choosing.md)."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over the training pairs; give this or `steps`."""
    batch_size: int = Field(default=16, ge=1)
    """Pairs in an optimizer step."""
    accumulation: int = Field(default=1, ge=1)
    """Parts into which a step is cut to save memory; the result is the same."""
    learning_rate: Rate | None = None
    """None is the method's own (docs/choosing.md)."""
    head_learning_rate: Rate | None = None
    """Learning rate of the head; None is `learning_rate`, and without one the method's own for heads."""
    backbone_learning_rate: Rate | None = None
    """Learning rate of tuned backbone tensors (`method.tune`); None is `learning_rate`, and without one the
    rate that suits these tensors."""
    schedule: Literal["linear", "cosine", "constant", "exponential"] | None = None
    """How the learning rate falls; `exponential` multiplies the rate by `decay` after every epoch. None is
    `linear`, and without a `learning_rate` the method's own."""
    decay: float = Field(default=0.95, gt=0, le=1)
    """Factor per epoch of the exponential schedule (0.95 in P-Tuning v2's tagging and span tasks)."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Steps over which the learning rate rises; None is 0, and without a `learning_rate` the method's own."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """`sgd` is that of visual prompt tuning for prompts and heads."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of all trained parameters; SGD adds the decay to the gradient."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Largest gradient norm; None does not clip."""
    loss: Literal["token_mean", "sequence_sum"] = "token_mean"
    """Mean over target tokens, or the paper's code: sum over a sequence, mean over the batch."""
    by_length: bool = True
    """Batches of similar lengths (less padding); False is a plain shuffle."""
    backbone_dropout: bool = False
    """Whether the frozen backbone's own dropout is on while training."""
    gradient_checkpointing: bool = False
    trunk_cache: TrunkCacheSettings | None = None
    """Keep the output of the layers below the first prompted one for each input, see docs/trunk.md; None
    computes these layers in every step."""
    max_tokens_per_pass: int | None = Field(default=None, ge=1)
    """Tokens computed at once, padding counted; a step is cut into passes of similar lengths, with the same
    result. None cuts a step by `accumulation`."""
    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between evaluations on the development set; None is once per epoch."""
    select: str = "loss"
    """Development metric that selects the best checkpoint: `loss`, or one of `metrics`."""
    patience: int | None = Field(default=None, ge=1)
    """Evaluations without improvement before stopping; None never stops early."""
    checkpoint_every: int | None = Field(default=50, ge=1)
    """Steps between checkpoints; None writes none, so that a stopped run begins again."""
    trackers: list[Literal["tensorboard", "wandb"]] = Field(default=[])
    """Trackers that also receive the run's numbers."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _nothing_ignored(self) -> "TrainingSettings":
        if self.schedule != "exponential" and self.decay != type(self).model_fields["decay"].default:
            where, got = "training.decay", f"{self.decay} with schedule '{self.schedule or 'linear'}'"
            raise ValueError(Problem(where, got, "the schedule 'exponential'", "leave decay out"))
        if self.optimizer != "sgd" and self.momentum != type(self).model_fields["momentum"].default:
            where, got = "training.momentum", f"{self.momentum} with optimizer '{self.optimizer}'"
            raise ValueError(Problem(where, got, "the optimizer 'sgd'", "leave momentum out"))
        return self

    @model_validator(mode="after")
    def _trunk_is_fixed(self) -> "TrainingSettings":
        if self.trunk_cache is not None and self.backbone_dropout:
            got = "a trunk cache with training.backbone_dropout, which changes a layer's output at each step"
            expected = "layers below the prompts that always give the same"
            do = "set training.backbone_dropout=false, or leave the cache out"
            raise ValueError(Problem("training.trunk_cache", got, expected, do))
        return self

    @model_validator(mode="after")
    def _one_way_of_cutting(self) -> "TrainingSettings":
        if self.max_tokens_per_pass is not None and self.accumulation != 1:
            where, got = (
                "training.accumulation",
                f"both accumulation ({self.accumulation}) and max_tokens_per_pass",
            )
            raise ValueError(Problem(where, got, "one of the two", "leave one out"))
        return self

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> "TrainingSettings":
        if self.steps is not None and self.epochs is not None:
            expected = "at most one of training.steps and training.epochs"
            raise ValueError(Problem("", "both of them", expected, "leave one out"))
        return self

    @property
    def rate(self) -> float:
        """The learning rate; `USUAL_RATE` where none was given and no method was asked for its own."""
        return USUAL_RATE if self.learning_rate is None else self.learning_rate
