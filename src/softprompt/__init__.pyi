from .backbones import Backbone, PromptedModel, SavePrompt, class_attention, gradients_by_hand, load_backbone
from .config import TaskSettings
from .data import data_format
from .errors import BackboneError, ConfigError, DataError, PromptError, SoftpromptError, TrainingError
from .metrics import metric
from .prompts import (
    Prompt,
    PromptBuilder,
    Start,
    StartRequest,
    TrainingDefaults,
    adapter,
    fine_tuning,
    head,
    head_only,
    in_context,
    initialization,
    load_prompt,
    lora,
    method,
    null_prompt,
    p_tuning,
    p_tuning_v2,
    prefix_tuning,
    prompt_tuning,
    visual_prompt_tuning,
)
from .tasks import task

__version__: str

__all__ = [
    "Backbone",
    "BackboneError",
    "ConfigError",
    "DataError",
    "Prompt",
    "PromptBuilder",
    "PromptError",
    "PromptedModel",
    "SavePrompt",
    "SoftpromptError",
    "Start",
    "StartRequest",
    "TaskSettings",
    "TrainingDefaults",
    "TrainingError",
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
    "task",
    "visual_prompt_tuning",
]
