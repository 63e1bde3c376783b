"""Heads: trained layers that read a backbone's states, stored with their prompt."""

from softprompt.prompts.heads.cards import checked, head, resolve_pooling
from softprompt.prompts.heads.kinds import KINDS, head_width, reads_prompt, uses_output_layer
from softprompt.prompts.heads.layers import Head, empty_head
from softprompt.prompts.heads.pooling import (
    CLASS,
    PATCH,
    PICTURE_POOLINGS,
    PROMPT,
    SPECIAL,
    TEXT_POOLINGS,
    pool_picture,
    pool_text,
)

__all__ = [
    "CLASS",
    "KINDS",
    "PATCH",
    "PICTURE_POOLINGS",
    "PROMPT",
    "SPECIAL",
    "TEXT_POOLINGS",
    "Head",
    "checked",
    "empty_head",
    "head",
    "head_width",
    "pool_picture",
    "pool_text",
    "reads_prompt",
    "resolve_pooling",
    "uses_output_layer",
]
