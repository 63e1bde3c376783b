"""The words around the input: templates with a blank, and the words that may fill it."""

from softprompt.text.filling import Filled
from softprompt.text.template import Template, null_template, null_templates
from softprompt.text.verbalizer import Verbalizer, null_verbalizer, word_log_probs
from softprompt.text.words import Allowed, allowed_ids, word_ids

__all__ = [
    "Allowed",
    "Filled",
    "Template",
    "Verbalizer",
    "allowed_ids",
    "null_template",
    "null_templates",
    "null_verbalizer",
    "word_ids",
    "word_log_probs",
]
