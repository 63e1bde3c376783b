"""The settings of each method."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from softprompt.config.base import Settings
from softprompt.errors import Problem

TUNE_FORMS = "'all', 'bitfit', 'biases', 'layernorm', 'head', 'last:k' or 'none'"
"""What `tune` can say."""


def is_tune(text: str) -> bool:
    """Whether a text is one of `TUNE_FORMS`."""
    return re.fullmatch(r"all|bitfit|biases|layernorm|head|last:[1-9]\d*|none", text) is not None


def _known(text: str) -> str:
    if not is_tune(text):
        raise ValueError(Problem("", repr(text), TUNE_FORMS))
    return text


Tune = Annotated[str, AfterValidator(_known)]
"""Which of the backbone's own tensors are trained."""


def _draws_examples(settings: Any) -> Any:
    if settings.draws > 1 and not settings.initialization.startswith("examples:"):
        got = f"{settings.draws} with initialization '{settings.initialization}'"
        raise ValueError(
            Problem(
                "method.draws",
                got,
                "an initialization 'examples:k', the one that is drawn",
                "leave draws out",
            )
        )
    return settings


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
    draws: int = Field(default=1, ge=1)
    """How often to draw `examples:k`; training begins from those with the lowest loss on 32 other records."""
    positions: Literal["shifted", "unshifted"] | None = None
    """Whether the text's positions start behind the prompt; None is the method's default."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the prompt itself while training (0 in the paper)."""
    tune: Tune | None = None
    """Backbone tensors trained beside the prompt; None is none."""

    _draws = model_validator(mode="after")(_draws_examples)


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
    draws: int = Field(default=1, ge=1)
    """How often to draw `examples:k`; training begins from those with the lowest loss on 32 other records."""
    positions: Literal["shifted", "unshifted"] | None = None
    """Whether the text's positions start behind the prompt; None is the method's default."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the prompt itself while training."""
    tune: Tune | None = None
    """Backbone tensors trained beside the prompt; None is none."""

    _draws = model_validator(mode="after")(_draws_examples)


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
    tune: Tune | None = None
    """Backbone tensors trained beside the prompt; None is none."""


class PTuningSettings(Settings):
    name: Literal["p_tuning"] = "p_tuning"
    template: Annotated[int, Field(ge=1, strict=True)] | str | None = None
    """The template, or how many slots it has; None is the task's own template."""
    encoder: Literal["lstm", "mlp"] | None = "lstm"
    """`lstm` is the paper's; None trains the slots' vectors directly."""
    width: int | None = Field(default=None, ge=1)
    """Hidden width of the encoder (of both directions together); None is that of the input embeddings."""
    depth: int | None = Field(default=None, ge=1)
    """Layers of the LSTM (None: 2), or hidden layers of the MLP (None: 1)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the vectors while training."""
    initialization: str = "random"
    """`random` (the paper's), `vocabulary`, `text: ...`, `zero` or `prompt: FOLDER`."""
    tune: Tune | None = None
    """Backbone tensors trained beside the vectors: `all`, `bitfit`, `layernorm`, `head`, `last:k`."""


class NullPromptSettings(Settings):
    name: Literal["null_prompt"] = "null_prompt"
    template: str | list[str] | None = None
    """A template, or the fields that it names in their order; None is the task's own template."""
    tune: Tune = "bitfit"
    """Which of the backbone's tensors are trained: `all`, `bitfit`, `biases` (with those it lacks, from 0),
    `layernorm`, `head`, `last:k`, `none`."""


class InContextSettings(Settings):
    name: Literal["in_context"] = "in_context"
    examples: int = Field(default=32, ge=1)
    """Training examples, with their answers, read before every text; drawn by `training.seed`."""
    max_tokens: int = Field(default=512, ge=1)
    """Examples that would make the whole longer are left out."""


class VisualPromptTuningSettings(Settings):
    name: Literal["visual_prompt_tuning"] = "visual_prompt_tuning"
    length: int | None = Field(default=None, ge=1)
    """Tokens per layer, patches, extra channels, or pixels of a border; None is 50 (channels, border: 5)."""
    depth: Literal["deep", "shallow"] | None = None
    """Own vectors before every layer, or before the first alone; None is deep (of pixels: shallow)."""
    location: Literal["prepend", "add", "add-shared", "pixel-prepend", "pixel-pad", "channel"] = "prepend"
    """Where the prompt enters."""
    layers: str | list[int] = "all"
    """Of a deep prompt: `all`, `first:k`, `last:k` or a list of layer numbers."""
    project: int | None = Field(default=None, ge=1)
    """Width of what is trained, before a linear map; None is none."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the prompt itself while training (0.1 in the paper's deep runs)."""
    pool: Literal["cls", "image", "prompt", "mean"] | None = None
    """What the head reads; None is the class token, or the patches where there is none."""
    tune: Tune | None = None
    """Backbone tensors trained beside the prompt; None is none."""


class FineTuningSettings(Settings):
    name: Literal["fine_tuning"] = "fine_tuning"
    tune: Tune = "all"
    """Which of the backbone's tensors are trained: `all`, `bitfit`, `biases` (with those it lacks, from 0),
    `layernorm`, `head` or `last:k`."""


class HeadOnlySettings(Settings):
    name: Literal["head_only"] = "head_only"


class AdapterSettings(Settings):
    name: Literal["adapter"] = "adapter"
    reduction: int = Field(default=16, ge=1)
    """The layers' width divided by that of the bottleneck."""
    width: int | None = Field(default=None, ge=1)
    """Width of the bottleneck, in place of `reduction`."""
    activation: Literal["relu", "gelu"] = "relu"
    placement: Literal["houlsby", "pfeiffer"] = "houlsby"
    """`houlsby`: after attention and feed-forward; `pfeiffer`: after the feed-forward only."""
    layers: str | list[int] = "all"
    """`all`, `first:k`, `last:k` or a list of layer numbers."""


class LoraSettings(Settings):
    name: Literal["lora"] = "lora"
    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16, gt=0)
    """The product counts `alpha / rank` times."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the input of the product while training."""
    targets: list[str] | None = Field(default=None, min_length=1)
    """Ends of the linear layers' names; None is PEFT's default for the family: queries and values."""
    layers: str | list[int] = "all"
    """`all`, `first:k`, `last:k` or a list of layer numbers."""


METHODS: dict[str, type[Settings]] = {
    "prefix_tuning": PrefixTuningSettings,
    "prompt_tuning": PromptTuningSettings,
    "p_tuning_v2": PTuningV2Settings,
    "p_tuning": PTuningSettings,
    "null_prompt": NullPromptSettings,
    "in_context": InContextSettings,
    "visual_prompt_tuning": VisualPromptTuningSettings,
    "fine_tuning": FineTuningSettings,
    "head_only": HeadOnlySettings,
    "adapter": AdapterSettings,
    "lora": LoraSettings,
}
"""Every method by the name that settings use."""

MethodSettings = (
    PrefixTuningSettings
    | PromptTuningSettings
    | PTuningV2Settings
    | PTuningSettings
    | NullPromptSettings
    | InContextSettings
    | VisualPromptTuningSettings
    | FineTuningSettings
    | HeadOnlySettings
    | AdapterSettings
    | LoraSettings
)
