"""The settings of each method."""

from typing import Literal

from pydantic import Field

from softprompt.config.base import Settings


class PrefixTuningSettings(Settings):
    name: Literal["prefix_tuning"] = "prefix_tuning"
    length: int | None = Field(default=None, ge=1)
    """Prompt vectors per layer; None is 10, or what the text of the initialization gives."""
    layers: str | list[int] = "all"
    """`all`, `first:k`, `last:k` or a list of layer numbers."""
    sites: list[Literal["encoder", "decoder", "cross"]] | None = None
    """Which attentions get a prefix; None is every one that the backbone has."""
    reparameterization: Literal["mlp"] | None = "mlp"
    """`mlp` is the paper's; None trains keys and values directly."""
    width: int = Field(default=512, ge=1)
    """Hidden width of the reparameterisation."""
    depth: int = Field(default=1, ge=1)
    """Hidden layers of the reparameterisation."""
    initialization: str = "examples:4"
    """`examples:k`, `text: ...`, `vocabulary`, `random`, `zero` or `prompt: FOLDER`."""
    positions: Literal["shifted", "unshifted"] | None = None
    """Whether the text's positions start behind the prompt; None is the method's default."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the prompt itself while training (0 in the paper)."""


class PromptTuningSettings(Settings):
    name: Literal["prompt_tuning"] = "prompt_tuning"
    length: int | None = Field(default=None, ge=1)
    """Soft tokens; None is 20, or what the text of the initialization gives."""
    reparameterization: Literal["mlp"] | None = None
    """`mlp` sends the vectors through an MLP (Prefix-Tuning's embedding-only ablation)."""
    width: int = Field(default=512, ge=1)
    """Hidden width of the reparameterisation."""
    depth: int = Field(default=1, ge=1)
    """Hidden layers of the reparameterisation."""
    initialization: str = "vocabulary"
    """`examples:k`, `text: ...`, `vocabulary`, `random`, `zero` or `prompt: FOLDER`."""
    positions: Literal["shifted", "unshifted"] | None = None
    """Whether the text's positions start behind the prompt; None is the method's default."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the prompt itself while training."""


class PTuningV2Settings(Settings):
    name: Literal["p_tuning_v2"] = "p_tuning_v2"
    length: int | None = Field(default=None, ge=1)
    """Prompt vectors per layer; None is 20, or what the text of the initialization gives."""
    layers: str | list[int] = "all"
    """`all`, `first:k`, `last:k` or a list of layer numbers."""
    sites: list[Literal["encoder", "decoder", "cross"]] | None = None
    """Which attentions get a prompt; None is those that the head's states come through."""
    reparameterization: Literal["mlp"] | None = None
    """`mlp` sends the vectors through an MLP; None (the paper's default) trains keys and values directly."""
    width: int = Field(default=512, ge=1)
    """Hidden width of the reparameterisation."""
    depth: int = Field(default=1, ge=1)
    """Hidden layers of the reparameterisation."""
    initialization: str = "random"
    """`random` (the paper's), `examples:k`, `text: ...`, `vocabulary`, `zero` or `prompt: FOLDER`."""
    positions: Literal["shifted", "unshifted"] | None = None
    """Whether the text's positions start behind the prompt; None is the method's default."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the prompt itself while training."""


class FineTuningSettings(Settings):
    name: Literal["fine_tuning"] = "fine_tuning"
    tune: Literal["all", "biases"] = "all"
    """Which of the backbone's tensors are trained."""


class HeadOnlySettings(Settings):
    name: Literal["head_only"] = "head_only"


METHODS: dict[str, type[Settings]] = {
    "prefix_tuning": PrefixTuningSettings,
    "prompt_tuning": PromptTuningSettings,
    "p_tuning_v2": PTuningV2Settings,
    "fine_tuning": FineTuningSettings,
    "head_only": HeadOnlySettings,
}
"""Every method by the name that settings use."""

MethodSettings = (
    PrefixTuningSettings | PromptTuningSettings | PTuningV2Settings | FineTuningSettings | HeadOnlySettings
)
