"""Tasks whose answer the language model itself gives: a text, or a word in the blank of a template."""

from softprompt.tasks.language.cloze import ClozeTask
from softprompt.tasks.language.decoding import check_decoding
from softprompt.tasks.language.generation import GenerationTask
from softprompt.tasks.language.probing import ProbingTask
from softprompt.tasks.language.text_scores import score_texts

__all__ = ["ClozeTask", "GenerationTask", "ProbingTask", "check_decoding", "score_texts"]
