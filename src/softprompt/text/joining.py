"""Texts of tokenizers that put a space between any two tokens, as BERT's do."""

import re
from typing import Any

from softprompt.scripts import EAST_ASIAN, script

_BETWEEN = re.compile(r"(?<=(\S)) +(?=(\S))")
_SIGNS = re.compile(
    "[\u3000-\u303f"  # punctuation of Chinese, Japanese and Korean
    "\u3099-\u309c\u30a0\u30fb"  # marks and dots of kana
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uff9e\uff9f]"  # of full and half width
)
_PROBE = "中文"


def spaces_characters(tokenizer: Any) -> bool:
    """Whether a tokenizer's texts have spaces between Chinese characters that nobody wrote."""
    ids = list(tokenizer(_PROBE, add_special_tokens=False)["input_ids"])
    if len(ids) != len(_PROBE):
        return False
    return " " in tokenizer.decode(ids, clean_up_tokenization_spaces=False).strip()


def without_spaces(text: str) -> str:
    """A text without the spaces beside characters and punctuation of scripts that have none."""
    return _BETWEEN.sub(lambda found: "" if any(map(_stands_alone, found.groups())) else found[0], text)


def _stands_alone(character: str) -> bool:
    return script(character) in EAST_ASIAN or _SIGNS.match(character) is not None
