"""A frozen model under a prompt as the module that training programs, pipelines and evaluations take."""

from softprompt.backbones.callers.prompted_model import PromptedModel

__all__ = ["PromptedModel"]
