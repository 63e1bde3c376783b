"""The methods, by the papers' names: which placement, parameterisation, initialisation and layers.

Settings are read off the methods' signatures whenever a recipe is read, so these modules import torch, and
whatever needs it, only where a prompt is built.
"""

# The order is that in which methods are listed.
# isort: off
from softprompt.prompts.methods.prefix_tuning import prefix_tuning
from softprompt.prompts.methods.prompt_tuning import prompt_tuning
from softprompt.prompts.methods.p_tuning_v2 import p_tuning_v2
from softprompt.prompts.methods.p_tuning import p_tuning
from softprompt.prompts.methods.null_prompt import null_prompt
from softprompt.prompts.methods.visual_prompt_tuning import visual_prompt_tuning
from softprompt.prompts.methods.baselines import fine_tuning, head_only, in_context
from softprompt.prompts.methods.adapters import adapter, lora

# isort: on
from softprompt.prompts.methods.registry import METHODS, Method, build_prompt, method, n_examples
from softprompt.prompts.methods.training_defaults import UNDECLARED, TrainingDefaults, head_rate, tuned_rate

__all__ = [
    "METHODS",
    "UNDECLARED",
    "Method",
    "TrainingDefaults",
    "adapter",
    "build_prompt",
    "fine_tuning",
    "head_only",
    "head_rate",
    "in_context",
    "lora",
    "method",
    "n_examples",
    "null_prompt",
    "p_tuning",
    "p_tuning_v2",
    "prefix_tuning",
    "prompt_tuning",
    "tuned_rate",
    "visual_prompt_tuning",
]
