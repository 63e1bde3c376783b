"""Verbalizers: the words that stand for each label."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from softprompt.errors import ConfigError, counted
from softprompt.text.words import word_ids

LabelTokens = tuple[tuple[tuple[int, ...], ...], ...]
"""Token ids by label and word."""


class Verbalizer:
    """Words per label: `Verbalizer({"entailment": ["Yes"], "neutral": ["Maybe"], ...})`.

    Args:
        words: one word or several per label, in label order. A word may have several tokens, unless
            `tokens(single=True)` is called.
        where: names the setting in errors.

    Raises:
        ConfigError: fewer than two labels, a label without words, an empty word, a word with white
            space around it, or a repeated word.
    """

    def __init__(self, words: Mapping[str, str | Sequence[str]], where: str = "verbalizer"):
        self._where = where
        self.labels = tuple(words)
        self.words = tuple((w,) if isinstance(w, str) else tuple(w) for w in words.values())
        if len(self.labels) < 2:
            raise ConfigError(where, counted(len(self.labels), "label"), "words for at least two labels")
        seen: dict[str, str] = {}
        for label, word in self._each():
            if not isinstance(word, str) or not word or word != word.strip():
                raise ConfigError(f"{where}.{label}", repr(word), "a word without white space around it")
            self._check_new(seen, word, label, f"'{word}'")
        for label, several in zip(self.labels, self.words, strict=True):
            if not several:
                raise ConfigError(f"{where}.{label}", "no words", "at least one word")

    def tokens(self, tokenizer: Any, spaced: bool, single: bool = False) -> LabelTokens:
        """The token ids of each word, per label.

        Args:
            tokenizer: of the backbone.
            spaced: whether the words are written with a space in front, see `Template.spaced`.
            single: refuse words of several tokens.

        Raises:
            ConfigError: a word of several tokens although `single`, an unknown word, or two words
                with the same tokens (such as Yes and yes for an uncased tokenizer).
        """
        seen: dict[tuple[int, ...], str] = {}
        tokens: dict[str, tuple[int, ...]] = {}
        for label, word in self._each():
            where = f"{self._where}.{label}"
            ids = word_ids(tokenizer, word, spaced, where)
            pieces = " ".join(tokenizer.convert_ids_to_tokens(list(ids)))
            if single and len(ids) > 1:
                got = f"'{word}', which is {counted(len(ids), 'token')} ({pieces})"
                raise ConfigError(where, got, "a single token", "choose another word")
            self._check_new(seen, ids, label, f"'{word}', to this tokenizer {pieces}")
            tokens[word] = ids
        return tuple(tuple(tokens[word] for word in several) for several in self.words)

    def _each(self) -> Iterator[tuple[str, str]]:
        for label, several in zip(self.labels, self.words, strict=True):
            for word in several:
                yield label, word

    def _check_new(self, seen: dict[Any, str], key: object, label: str, shown: str) -> None:
        if key in seen:
            other = f", which '{seen[key]}' has too" if seen[key] != label else " twice"
            raise ConfigError(f"{self._where}.{label}", shown + other, "words that differ, each once")
        seen[key] = label


def null_verbalizer(labels: Sequence[str], tokenizer: Any, seed: int, *, spaced: bool = True) -> Verbalizer:
    """A verbalizer without meaning: a different random word for each label.

    Source: null prompts (2106.13353), the ablation "null verbalizer". Deviation: the authors' code draws any
    id from 1000 up, which leaves out the special and unused tokens of their models; here words are drawn
    from all those of the vocabulary that consist of letters and are one token, whatever the tokenizer.
    Words are ordered by the SHA-256 of seed and id: a seed gives the same words on every platform.

    Args:
        labels: in label order.
        tokenizer: of the backbone.
        seed: of the draw.
        spaced: whether the words are written with a space in front, see `Template.spaced`.

    Raises:
        ConfigError: the vocabulary has fewer such words than there are labels.
    """
    words: list[str] = []
    order = sorted(
        range(len(tokenizer)), key=lambda token: hashlib.sha256(f"word {seed} {token}".encode()).digest()
    )
    special = set(tokenizer.all_special_ids)
    for token in order:
        if len(words) == len(labels):
            break
        word = tokenizer.decode([token]).strip()
        if token not in special and word.isalpha() and _is_token(tokenizer, word, spaced, token):
            words.append(word)
    if len(words) < len(labels):
        got = f"{counted(len(labels), 'label')} for {counted(len(words), 'word')} of the vocabulary"
        raise ConfigError("null_verbalizer", got, "a word of one token for each label")
    return Verbalizer(dict(zip(labels, words, strict=True)))


def _is_token(tokenizer: Any, word: str, spaced: bool, token: int) -> bool:
    try:
        return word_ids(tokenizer, word, spaced) == (token,)
    except ConfigError:
        return False
