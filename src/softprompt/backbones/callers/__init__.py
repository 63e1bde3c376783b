"""A frozen model with a prompt, as a module for trainers, pipelines and evaluation programs."""

from softprompt.backbones.callers.prompted_model import PromptedModel

__all__ = ["PromptedModel"]
