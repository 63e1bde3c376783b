"""The words of a text to tag."""

import re
import unicodedata
from typing import Literal

from softprompt.errors import DataError, shortened
from softprompt.scripts import is_spaced, n_unspaced

Words = Literal["auto", "spaces", "characters", "scripts"]
"""How a text to tag is cut into words: at white space; into single characters; into single characters where a
script puts no spaces between words, and whole words of other scripts; or as in the training data."""

Trained = Literal["auto", "spaces", "characters", "scripts", "letters"]
"""What the words of the training data are, see `TaggingSettings.words`."""


def word_places(
    text: str, id: str, how: Words = "auto", trained: Trained = "auto"
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
        DataError: a text whose words may be two things: several such characters between spaces; words of
            other scripts among such characters, where it is not known whether these are whole or letters; or
            a text without spaces for a prompt that was trained on longer words.
    """
    if how == "characters" or (how == "auto" and trained == "letters"):
        return _characters(text)
    if how == "scripts" or (how == "auto" and trained == "scripts"):
        return _by_script(text)
    chunks = tuple((found.start(), found.end()) for found in re.finditer(r"\S+", text))
    if how == "spaces":
        return chunks
    if trained == "characters" and n_unspaced(text):
        return _unmixed(text, id)
    unspaced = [text[a:b] for a, b in chunks if n_unspaced(text[a:b]) > 1]
    if not unspaced:
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
        return _unmixed(text, id)
    raise DataError(
        f"record {id}",
        f"'{unspaced[0]}' between spaces, which is one word or {len(_characters(unspaced[0]))}",
        "what the words of the training data are",
        "say --words characters (in Python words='characters') for a tag for each character, or spaces",
    )


def _unmixed(text: str, id: str) -> tuple[tuple[int, int], ...]:
    """The characters of a text, in which words of other scripts would be whole or single letters."""
    whole = next((text[a:b] for a, b in _by_script(text) if b - a > 1 and is_spaced(text[a])), None)
    if whole is None:
        return _characters(text)
    raise DataError(
        f"record {id}",
        f"'{shortened(whole, 60)}' in a text without spaces, which is one word or {len(whole)}",
        "what such words are in the training data",
        "say --words scripts (in Python words='scripts') to keep them whole, or characters for a tag each",
    )


def _by_script(text: str) -> tuple[tuple[int, int], ...]:
    """The characters, with letters and digits of scripts with spaces that stand together as one word."""
    places: list[tuple[int, int]] = []
    for start, end in _characters(text):
        before, at = places[-1] if places else (start, -1)
        if at == start and is_spaced(text[before]) and is_spaced(text[start]):
            places[-1] = (places[-1][0], end)
        else:
            places.append((start, end))
    return tuple(places)


def _characters(text: str) -> tuple[tuple[int, int], ...]:
    """The characters that are no white space, each with the marks that belong to it."""
    places: list[tuple[int, int]] = []
    for i, character in enumerate(text):
        if character.isspace():
            continue
        if places and places[-1][1] == i and unicodedata.category(character)[0] == "M":
            places[-1] = (places[-1][0], i + 1)
        else:
            places.append((i, i + 1))
    return tuple(places)
