"""Describing a head: what is checked before a card is made, and what a backbone decides."""

from collections.abc import Collection, Sequence
from typing import Any

from softprompt.errors import PromptError
from softprompt.files import HeadCard
from softprompt.prompts.heads.kinds import KINDS


def head(
    kind: str,
    labels: Sequence[str] = (),
    *,
    pooling: str | None = None,
    dropout: float | None = None,
    words: Sequence[Sequence[int]] = (),
    hidden_layers: int = 0,
) -> HeadCard:
    """Describe a head; a method given it trains it with the prompt.

    Args:
        kind: `sequence` (one label per text), `token` (one per token), `span` (start and end),
            `choice` (a score per choice), `value` (a number per text), `picture` (one label per picture), or
            of a cloze task `calibration` (an affine map of the labels' scores) and `soft` (a vector for each
            label).
        labels: every label, in the order of the outputs; none for `span`, `choice` and `value`.
        pooling: the state that is read: `first` real token ([CLS]), `last` real token, or the `mean` of
            the real tokens; None is `first` on encoders and `last` elsewhere (`sequence`, `choice`, `value`).
            Of a picture `cls` (its class token), or the mean of its patches (`image`), of the prompt's own
            outputs (`prompt`) or of both (`mean`); None is `cls`, or `image` where there is no class token.
        dropout: on what each layer reads, while training; None is 0.1, and 0 for cloze tasks and for a
            picture's linear head.
        words: for each label the tokens whose output vectors it begins at (`soft`); none is a random
            start.
        hidden_layers: of a picture's head; 0 is linear.

    Raises:
        PromptError: an unknown kind, or labels, a pooling, words or layers that this kind does not have.
    """
    if kind not in KINDS:
        raise PromptError("head.kind", repr(kind), f"one of {', '.join(KINDS)}")
    row = KINDS[kind]
    if isinstance(labels, str) or row.has_labels != bool(labels):
        expected = "at least two labels" if row.has_labels else f"no labels, since a {kind} head has none"
        raise PromptError("head.labels", repr(labels) if labels else "no labels", expected)
    if len(set(labels)) < len(labels) or len(labels) == 1:
        raise PromptError("head.labels", list(labels), "at least two labels, each once")
    if pooling is not None and pooling not in row.poolings:
        forms = ", ".join(map(repr, row.poolings)) or "none, since this kind has no choice"
        raise PromptError("head.pooling", f"{pooling!r} for a {kind} head", forms)
    if words and not (row.has_words and len(words) == len(labels) and all(words)):
        expected = "tokens for each label" if row.has_words else f"no words for a {kind} head"
        raise PromptError("head.words", f"{len(words)} entries", expected)
    if isinstance(hidden_layers, bool) or hidden_layers < 0 or (hidden_layers and not row.has_hidden):
        raise PromptError(
            "head.hidden_layers", f"{hidden_layers} for a {kind} head", "0, or a count for a picture head"
        )
    if dropout is None:
        dropout = 0.1 if hidden_layers else row.dropout
    if not 0 <= dropout < 1:
        raise PromptError("head.dropout", dropout, "a probability of at least 0 and below 1")
    stated: Any = {"kind": kind, "pooling": pooling, "words": tuple(map(tuple, words))}
    return HeadCard(**stated, labels=tuple(labels), dropout=dropout, hidden_layers=hidden_layers)


def checked(card: HeadCard) -> HeadCard:
    """A card of a file, with all that `head` refuses refused.

    Raises:
        PromptError: as `head`.
    """
    return head(
        card.kind, card.labels, pooling=card.pooling, dropout=card.dropout, words=card.words,
        hidden_layers=card.hidden_layers,
    )  # fmt: skip


def resolve_pooling(card: HeadCard, stacks: Collection[str], has_class: bool | None = None) -> HeadCard:
    """The card with its pooling decided: `first` on encoders, `last` on everything else.

    Of pictures the class token, or the patches where there is none.

    Args:
        card: as the user wrote it.
        stacks: of the backbone, `encoder`, `decoder` or both.
        has_class: whether a backbone that reads pictures has a class token; None is one that reads texts.

    Raises:
        PromptError: a head for pictures on a backbone that reads texts, or the other way round, or a class
            token that is not there.
    """
    row = KINDS[card.kind]
    if row.of_pictures != (has_class is not None):
        reads = "texts" if has_class is None else "pictures"
        expected = "one that reads texts" if has_class is None else "'picture'"
        raise PromptError("head.kind", f"'{card.kind}' on a backbone that reads {reads}", expected)
    if card.pooling == "cls" and not has_class:
        raise PromptError(
            "head.pooling", "'cls' on a backbone without a class token", "'image', 'prompt' or 'mean'"
        )
    if not row.poolings or card.pooling is not None:
        return card
    if has_class is not None:
        return card.model_copy(update={"pooling": "cls" if has_class else "image"})
    return card.model_copy(update={"pooling": "first" if set(stacks) == {"encoder"} else "last"})
