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
    "p_tuning": "softprompt.prompts.cloze",
    "null_prompt": "softprompt.prompts.cloze",
    "in_context": "softprompt.prompts.in_context",
    "visual_prompt_tuning": "softprompt.prompts.visual",
    "fine_tuning": "softprompt.prompts.methods",
    "head_only": "softprompt.prompts.methods",
    "adapter": "softprompt.prompts.adapters",
    "lora": "softprompt.prompts.adapters",
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
    "PromptError",
    "PromptedModel",
    "SoftpromptError",
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
    "load_backbone",
    "load_prompt",
    "lora",
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
    from softprompt.prompts.adapters import adapter, lora
    from softprompt.prompts.cloze import null_prompt, p_tuning
    from softprompt.prompts.heads import head
    from softprompt.prompts.in_context import in_context
    from softprompt.prompts.loading import load_prompt
    from softprompt.prompts.methods import fine_tuning, head_only, p_tuning_v2, prefix_tuning, prompt_tuning
    from softprompt.prompts.prompt import Prompt
    from softprompt.prompts.visual import visual_prompt_tuning
