"""Soft prompts for frozen transformers: train, keep, mix and use them.

The public names load lazily, so that `import softprompt` costs little.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "BackboneError": "softprompt.errors",
    "ConfigError": "softprompt.errors",
    "DataError": "softprompt.errors",
    "PromptError": "softprompt.errors",
    "SoftpromptError": "softprompt.errors",
    "TrainingError": "softprompt.errors",
    "load_backbone": "softprompt.backbones",
    "Backbone": "softprompt.backbones",
    "PromptedModel": "softprompt.backbones",
    "class_attention": "softprompt.backbones",
    "gradients_by_hand": "softprompt.backbones",
    "prefix_tuning": "softprompt.prompts.methods",
    "prompt_tuning": "softprompt.prompts.methods",
    "p_tuning_v2": "softprompt.prompts.methods",
    "p_tuning": "softprompt.prompts.methods",
    "null_prompt": "softprompt.prompts.methods",
    "in_context": "softprompt.prompts.methods",
    "visual_prompt_tuning": "softprompt.prompts.methods",
    "fine_tuning": "softprompt.prompts.methods",
    "head_only": "softprompt.prompts.methods",
    "adapter": "softprompt.prompts.methods",
    "lora": "softprompt.prompts.methods",
    "method": "softprompt.prompts.methods",
    "PromptBuilder": "softprompt.prompts.methods.builder",
    "initialization": "softprompt.prompts.initialization",
    "Start": "softprompt.prompts.initialization",
    "StartRequest": "softprompt.prompts.initialization",
    "head": "softprompt.prompts.heads",
    "data_format": "softprompt.data",
    "metric": "softprompt.metrics",
    "load_prompt": "softprompt.prompts.loading",
    "Prompt": "softprompt.prompts.prompt",
}

__all__ = [
    "Backbone",
    "BackboneError",
    "ConfigError",
    "DataError",
    "Prompt",
    "PromptBuilder",
    "PromptError",
    "PromptedModel",
    "SoftpromptError",
    "Start",
    "StartRequest",
    "TrainingError",
    "__version__",
    "adapter",
    "class_attention",
    "data_format",
    "fine_tuning",
    "gradients_by_hand",
    "head",
    "head_only",
    "in_context",
    "initialization",
    "load_backbone",
    "load_prompt",
    "lora",
    "method",
    "metric",
    "null_prompt",
    "p_tuning",
    "p_tuning_v2",
    "prefix_tuning",
    "prompt_tuning",
    "visual_prompt_tuning",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'softprompt' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from softprompt.backbones import (
        Backbone,
        PromptedModel,
        class_attention,
        gradients_by_hand,
        load_backbone,
    )
    from softprompt.data import data_format
    from softprompt.errors import (
        BackboneError,
        ConfigError,
        DataError,
        PromptError,
        SoftpromptError,
        TrainingError,
    )
    from softprompt.metrics import metric
    from softprompt.prompts.heads import head
    from softprompt.prompts.initialization import Start, StartRequest, initialization
    from softprompt.prompts.loading import load_prompt
    from softprompt.prompts.methods import (
        adapter,
        fine_tuning,
        head_only,
        in_context,
        lora,
        method,
        null_prompt,
        p_tuning,
        p_tuning_v2,
        prefix_tuning,
        prompt_tuning,
        visual_prompt_tuning,
    )
    from softprompt.prompts.methods.builder import PromptBuilder
    from softprompt.prompts.prompt import Prompt
