"""Scripts of letters, and which put no spaces between words: one table for scores, tags and texts."""

import unicodedata
from functools import lru_cache

EAST_ASIAN = frozenset("CJK HIRAGANA KATAKANA BOPOMOFO".split())
"""Of the scripts without spaces those whose every character tokenizers of BERT's kind take for a word."""

UNSPACED = EAST_ASIAN | frozenset("THAI LAO KHMER MYANMAR TIBETAN YI".split())
"""Scripts that put no space between words, by the first word of their characters' names in Unicode."""


@lru_cache(maxsize=1 << 16)
def script(character: str) -> str:
    """The script of a letter, as the first word of its name (`LATIN`, `CJK`); empty for anything else."""
    if unicodedata.category(character)[0] != "L":
        return ""
    name = unicodedata.name(character, "OTHER")
    for prefix in ("FULLWIDTH ", "HALFWIDTH ", "MODIFIER LETTER "):
        name = name.removeprefix(prefix)
    first = name.split()[0]
    return "KATAKANA" if first == "KATAKANA-HIRAGANA" else "LATIN" if first == "MICRO" else first


def is_unspaced(character: str) -> bool:
    """Whether a character is a letter of a script that puts no spaces between words."""
    return script(character) in UNSPACED


def n_unspaced(text: str) -> int:
    """How many letters of a text are of scripts that put no spaces between words."""
    return sum(map(is_unspaced, text))


def is_spaced(character: str) -> bool:
    """Whether a character is part of a word of other scripts: a letter or a digit."""
    return unicodedata.category(character)[0] in "LN" and not is_unspaced(character)
