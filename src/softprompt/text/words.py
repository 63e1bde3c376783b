"""The tokens of a word that fills a blank.

Within a sentence, the space before a word is part of its token: a byte-level tokenizer has one token for
` great` and another for `great`. WordPiece has one for both.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from softprompt.errors import ConfigError, counted

# Of these, at least one does not merge with a word after it.
_BEFORE = ('"', "(", "/", "-", "'")


class Allowed(NamedTuple):
    """A restricted vocabulary for filling a blank: `ids, dropped = allowed_ids(...)`.

    Args:
        ids: token ids, ascending, each once.
        dropped: the words that are not a single known token, each once, in the order given.
    """

    ids: tuple[int, ...]
    dropped: tuple[str, ...]


def allowed_ids(tokenizer: Any, words: Sequence[str], spaced: bool, where: str = "allowed words") -> Allowed:
    """The tokens that may fill a blank, and the words that cannot because they are not one token.

    Source: the shared vocabularies of LAMA, within which P-Tuning (2103.10385) ranks its answers. Its code
    drops other words silently; here the caller gets them.

    Args:
        tokenizer: of the backbone.
        words: candidates; repetitions count once.
        spaced: whether words are written with a space in front, see `Filled.spaced`.
        where: names the setting in errors.

    Raises:
        ConfigError: an empty word, a word with white space around it, or no word that is a single token.
    """
    different = list(dict.fromkeys(words))
    tokens = many_word_ids(tokenizer, different, spaced, where)
    special = set(tokenizer.all_special_ids)
    fit = {
        word: ids[0]
        for word, ids in zip(different, tokens, strict=True)
        if len(ids) == 1 and ids[0] not in special
    }
    if not fit:
        raise ConfigError(
            where,
            f"{counted(len(different), 'word')}, none of them a single token",
            "at least one that is a single token",
        )
    return Allowed(tuple(sorted(set(fit.values()))), tuple(word for word in different if word not in fit))


def word_ids(tokenizer: Any, word: str, spaced: bool, where: str = "word") -> tuple[int, ...]:
    """The tokens of one word, or of several words as one text.

    Args:
        tokenizer: of the backbone.
        word: without white space around it.
        spaced: whether it is written with a space in front.
        where: names the setting in errors.

    Raises:
        ConfigError: an empty word, white space around a word, or a word with an unknown or another special
            token.
    """
    (ids,) = many_word_ids(tokenizer, [word], spaced, where)
    special = [token for token in ids if token in tokenizer.all_special_ids]
    if special:
        name = tokenizer.convert_ids_to_tokens(special[0])
        kind = "unknown" if special[0] == tokenizer.unk_token_id else "special"
        got = f"'{word}', which has the {kind} token {name}"
        raise ConfigError(where, got, "a word of the tokenizer's vocabulary", "choose another word")
    if not ids:
        raise ConfigError(where, f"'{word}', which has no tokens", "a word of the tokenizer's vocabulary")
    return ids


def many_word_ids(tokenizer: Any, words: Sequence[str], spaced: bool, where: str) -> list[tuple[int, ...]]:
    """`word_ids` for many words in one call; unknown tokens are not refused.

    Raises:
        ConfigError: an empty word, or white space around a word.
    """
    for word in words:
        if not word.strip() or word != word.strip():
            hint = "decide in the template whether a space comes before the blank"
            raise ConfigError(where, repr(word), "a word without white space around it", hint)
    if not words:
        return []
    if not _adds_space(tokenizer):
        return _ids(tokenizer, [" " + word if spaced else word for word in words])
    if spaced:
        return _ids(tokenizer, words)
    return [_ids_without_space(tokenizer, word, where) for word in words]


def _adds_space(tokenizer: Any) -> bool:
    """Whether the tokenizer adds a space before every text, or ignores spaces."""
    (ids,) = _ids(tokenizer, ["a"])
    return " " in tokenizer.decode(ids * 2, clean_up_tokenization_spaces=False).strip()


def _ids_without_space(tokenizer: Any, word: str, where: str) -> tuple[int, ...]:
    """The tokens of a word that follows text without a space, from a tokenizer that adds spaces."""
    for mark in _BEFORE:
        encoded = tokenizer(mark + word, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        pairs = list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
        if all(start >= 1 or end <= 1 for _, (start, end) in pairs):
            return tuple(token for token, (start, _) in pairs if start >= 1)
    raise ConfigError(
        where, f"'{word}'", "a word whose tokens do not merge with a bracket or quote before it"
    )


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[tuple[int, ...]]:
    return [
        tuple(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    ]
