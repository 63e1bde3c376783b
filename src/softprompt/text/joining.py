"""Texts of tokenizers that put a space between any two tokens, as BERT's do."""

import re
from typing import Any

_UNSPACED = (
    "\u3000-\u303f"  # punctuation of Chinese, Japanese and Korean
    "\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # characters
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff9f"  # full-width punctuation, half-width kana
)
_BETWEEN = re.compile(rf"(?<=[{_UNSPACED}]) +(?=\S)|(?<=\S) +(?=[{_UNSPACED}])")
_PROBE = "中文"


def spaces_characters(tokenizer: Any) -> bool:
    """Whether a tokenizer's texts have spaces between Chinese characters that nobody wrote."""
    ids = list(tokenizer(_PROBE, add_special_tokens=False)["input_ids"])
    if len(ids) != len(_PROBE):
        return False
    return " " in tokenizer.decode(ids, clean_up_tokenization_spaces=False).strip()


def without_spaces(text: str) -> str:
    """A text without the spaces beside characters and punctuation of scripts that have none."""
    return _BETWEEN.sub("", text)
