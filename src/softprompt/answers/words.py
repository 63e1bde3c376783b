"""The words of a text to tag."""

import re
import unicodedata
from typing import Literal

from softprompt.errors import DataError, shortened

Words = Literal["auto", "spaces", "characters"]
"""How a text to tag is cut into words: at white space, into single characters, or as the script asks."""

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
"""Letters of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Japanese and Chinese."""


def word_places(
    text: str, id: str, how: Words = "auto", trained: Words = "auto"
) -> tuple[tuple[int, int], ...]:
    """Begin and end of each word of a text.

    By `auto`, words are what they were in the training data. Where that is not known, a text with white
    space in it is cut there, and a text without, in a script that puts no spaces between words, into its
    characters, as Chinese data sets of tags are.

    Args:
        text: what is to be tagged.
        id: names it in errors.
        how: its words.
        trained: the words of the training data, in scripts without spaces.

    Raises:
        DataError: words of several such characters with spaces between them, which may mean either; or a
            text without spaces for a prompt that was trained on longer words.
    """
    if how == "characters" or (how == "auto" and trained == "characters" and _UNSPACED.search(text)):
        return _characters(text)
    chunks = tuple((found.start(), found.end()) for found in re.finditer(r"\S+", text))
    unspaced = [text[a:b] for a, b in chunks if len(_UNSPACED.findall(text[a:b])) > 1]
    if how == "spaces" or not unspaced:
        return chunks
    if trained == "spaces":
        if len(chunks) > 1:
            return chunks
        raise DataError(
            f"record {id}",
            f"'{shortened(unspaced[0], 60)}' without spaces, for a prompt that was trained on words",
            "spaces between the words, as in the training data",
            "put them in, or say --words characters (in Python words='characters')",
        )
    if len(chunks) == 1:
        return _characters(text)
    raise DataError(
        f"record {id}",
        f"'{unspaced[0]}' between spaces, which is one word or {len(unspaced[0])}",
        "what the words of the training data are",
        "say --words characters (in Python words='characters') for a tag for each character, or spaces",
    )


def _characters(text: str) -> tuple[tuple[int, int], ...]:
    """The characters that are no white space, each with the marks that belong to it."""
    places: list[tuple[int, int]] = []
    for i, character in enumerate(text):
        if character.isspace():
            continue
        if places and places[-1][1] == i and unicodedata.combining(character):
            places[-1] = (places[-1][0], i + 1)
        else:
            places.append((i, i + 1))
    return tuple(places)
