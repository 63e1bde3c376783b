"""Scores of the words that may fill a blank: the rows that are read for them, and their log-probabilities."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softprompt.tasks.inputs import Row
from softprompt.tasks.language.blank_task import BlankExample, segments_of

Word = tuple[int, ...]
"""The tokens of one word."""


class WordRows(NamedTuple):
    """The rows of one record for all of its words.

    Attributes:
        rows: that the backbone reads.
        places: for each row, the positions whose outputs predict the tokens of a word.
        owners: for each word, the row that predicts it.
    """

    rows: tuple[Row, ...]
    places: tuple[tuple[int, ...], ...]
    owners: list[int]


def masked_rows(fill: Callable[..., Any], words: Sequence[Word]) -> WordRows:
    """A row for each number of mask tokens.

    Args:
        fill: gives the record's template with a number of blanks.
        words: that may fill the blank.
    """
    lengths = sorted({len(word) for word in words})
    filled = [fill(n) for n in lengths]
    rows = tuple(Row(one.ids, segments_of(one)) for one in filled)
    return WordRows(rows, tuple(one.blanks for one in filled), [lengths.index(len(word)) for word in words])


def causal_rows(fill: Callable[..., Any], words: Sequence[Word]) -> WordRows:
    """A row for each way in which longer words begin: the text, and the word without its last token.

    Args:
        fill: gives the record's template with one blank and room for so many tokens behind the text.
        words: that may fill the blank.
    """
    filled = fill(1, max(map(len, words)) - 1)
    (last,) = filled.blanks
    # A position depends on no later one, so that a row also predicts every word with a shorter beginning.
    beginnings = list(dict.fromkeys(word[:-1] for word in words))
    longest = [one for one in beginnings if not _continued(one, beginnings)]
    rows = tuple(Row((*filled.ids, *one), segments_of(filled, len(one))) for one in longest)
    places = tuple(tuple(range(last, last + len(one) + 1)) for one in longest)
    owners = [next(i for i, one in enumerate(longest) if one[: len(w) - 1] == w[:-1]) for w in words]
    return WordRows(rows, places, owners)


def word_scores(log_probs: Tensor, examples: Sequence[BlankExample]) -> list[Tensor]:
    """Scores of each example's answers, `[answer]`, from the log-probabilities of their words' tokens.

    Args:
        log_probs: over the vocabulary, `[place, vocab]`, at every place of every row of the examples.
        examples: with the words of each answer.
    """
    place, n_words = 0, 0
    owners: list[int] = []
    places: list[int] = []
    tokens: list[int] = []
    for example in examples:
        first = [place]
        for of_row in example.places:
            first.append(first[-1] + len(of_row))
        place = first[-1]
        for row, word in example.words:
            owners += [n_words] * len(word)
            places += range(first[row], first[row] + len(word))
            tokens += word
            n_words += 1
    device = log_probs.device
    owner, position, token = (torch.tensor(values, device=device) for values in (owners, places, tokens))
    by_word = log_probs.new_zeros(n_words).index_add(0, owner, log_probs[position, token])
    by_example = by_word.split([len(example.words) for example in examples])
    return [_reduced(words, example) for words, example in zip(by_example, examples, strict=True)]


def _continued(start: Word, starts: Collection[Word]) -> bool:
    return any(len(other) > len(start) and other[: len(start)] == start for other in starts)


def _reduced(words: Tensor, example: BlankExample) -> Tensor:
    """The scores of answers from those of their words."""
    if len(words) == len(example.sizes):
        return words
    parts = words.split(list(example.sizes))
    if example.reduction == "sum":
        return torch.stack([part.logsumexp(-1) for part in parts])
    return torch.stack([part.mean(-1) for part in parts])
