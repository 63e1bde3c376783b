"""Templates around the input, and the words that may fill their blank."""

from softprompt.text.encoding import Filled
from softprompt.text.joining import spaces_characters, without_spaces
from softprompt.text.template import Template, null_template
from softprompt.text.verbalizer import LabelTokens, Verbalizer, null_verbalizer
from softprompt.text.words import Allowed, allowed_ids, many_word_ids, word_ids

__all__ = [
    "Allowed",
    "Filled",
    "LabelTokens",
    "Template",
    "Verbalizer",
    "allowed_ids",
    "many_word_ids",
    "null_template",
    "null_verbalizer",
    "spaces_characters",
    "without_spaces",
    "word_ids",
]
