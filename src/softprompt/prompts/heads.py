"""Heads: a linear layer on a backbone's states, trained and stored with its prompt."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.errors import PromptError
from softprompt.files import HeadCard

KINDS = {
    "sequence": True, "token": True, "span": False, "choice": False, "value": False, "calibration": True,
    "soft": True, "picture": True,
}  # fmt: skip
"""Every kind of head, and whether it has labels."""

_POOLED = ("sequence", "choice", "value")
_OF_WORDS = ("calibration", "soft")
_OF_TEXTS = ("first", "last", "mean")
POOLINGS = ("cls", "image", "prompt", "mean")
"""What can be read of a picture."""

PADDING, SPECIAL, CLASS, PATCH, PROMPT = range(5)
"""Kinds of a picture's tokens: none, registers and distillation, class, patches, a prompt's own."""

_READ = {"cls": (CLASS,), "image": (PATCH,), "prompt": (PROMPT,), "mean": (PATCH, PROMPT)}


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
        PromptError: a kind, label list or pooling that says nothing.
    """
    if kind not in KINDS:
        raise PromptError("head.kind", repr(kind), f"one of {', '.join(KINDS)}")
    if isinstance(labels, str) or KINDS[kind] != bool(labels):
        wanted = "at least two labels" if KINDS[kind] else f"no labels, since a {kind} head has none"
        raise PromptError("head.labels", repr(labels) if labels else "no labels", wanted)
    if len(set(labels)) < len(labels) or len(labels) == 1:
        raise PromptError("head.labels", list(labels), "at least two labels, each once")
    allowed = POOLINGS if kind == "picture" else _OF_TEXTS if kind in _POOLED else ()
    if pooling is not None and pooling not in allowed:
        raise PromptError(
            "head.pooling",
            f"{pooling!r} for a {kind} head",
            f"'first', 'last', 'mean' ({', '.join(_POOLED)} heads), one of {list(POOLINGS)} (picture)",
        )
    if words and (kind != "soft" or len(words) != len(labels) or not all(words)):
        expected = "tokens for each label" if kind == "soft" else f"no words for a {kind} head"
        raise PromptError("head.words", f"{len(words)} entries", expected)
    if isinstance(hidden_layers, bool) or hidden_layers < 0 or (hidden_layers and kind != "picture"):
        raise PromptError(
            "head.hidden_layers", f"{hidden_layers} for a {kind} head", "0, or a count for a picture head"
        )
    if dropout is None:
        plain = kind in _OF_WORDS or (kind == "picture" and not hidden_layers)
        dropout = 0.0 if plain else 0.1
    if not 0 <= dropout < 1:
        raise PromptError("head.dropout", dropout, "a probability of at least 0 and below 1")
    stated: Any = {"kind": kind, "pooling": pooling, "words": tuple(map(tuple, words))}
    return HeadCard(**stated, labels=tuple(labels), dropout=dropout, hidden_layers=hidden_layers)


class Head(nn.Module):
    """A linear layer on hidden states, in float32 whatever the backbone's precision is.

    A picture's head may have hidden layers before it, as wide as the states, with ReLU.

    Source: P-Tuning v2 (2110.07602) §3.2: a randomly initialised linear head. Its weights begin at
    N(0, 0.02) and its biases at 0, as the official code's do through transformers. Deviations: no frozen
    pooler between state and head (the official RoBERTa runs read through one), and it begins from a
    generator of its own. Visual prompt tuning (2203.12119) §3.1 and its MLP-k baseline: its code begins at
    Kaiming's N(0, 2 / labels), of which directions that no picture has would keep what they drew, and at
    equal biases, which no softmax sees; and it puts batch norm between hidden layers, with which an answer
    would depend on the batch. Both are left out.

    Args:
        card: what it reads and says; `pooling` resolved.
        width: of the states.
        generator: source of the random numbers; None leaves zeros to be loaded over.
    """

    def __init__(self, card: HeadCard, width: int, generator: torch.Generator | None = None):
        super().__init__()
        self.card = card
        self.dropout = nn.Dropout(card.dropout)
        self.hidden = nn.ModuleList(_hidden(width, generator) for _ in range(card.hidden_layers))
        self.weight = nn.Parameter(torch.zeros(card.n_outputs, width))
        self.bias = nn.Parameter(torch.zeros(card.n_outputs))
        if generator is not None:
            with torch.no_grad():
                self.weight.normal_(0, 0.02, generator=generator)

    def forward(
        self, states: Float[Tensor, "row seq hidden"], mask: Int[Tensor, "row seq"]
    ) -> Float[Tensor, "row ..."]:
        """The outputs, `[row, output]` for one per text, `[row, seq, output]` for one per token.

        Args:
            states: of the text alone; of a picture, with the prompt's own outputs where they are read.
            mask: 1 on real tokens, with the padding on either side; of a picture, the kinds of its tokens.
        """
        if self.card.kind == "picture":
            states = pool_picture(states, mask, self.card.pooling or "cls")
        elif self.card.pooling is not None:
            states = pool(states, mask, self.card.pooling)
        return self.outputs(states)

    def outputs(self, read: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch output"]:
        """The layers alone, on whatever the head reads."""
        for layer in self.hidden:
            read = nn.functional.relu(layer(self.dropout(read.float())))
        return nn.functional.linear(self.dropout(read.float()), self.weight, self.bias)


class Sized(Protocol):
    """What a head needs of a backbone."""

    @property
    def state_size(self) -> int:
        """Width of the states."""
        ...

    def output_vectors(self, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The vocabulary matrix's rows of tokens, `[token, output]`, and their biases, `[token]`."""
        ...


def empty_head(card: HeadCard, backbone: Sized, generator: torch.Generator | None = None) -> Head:
    """A head of the width that its kind reads; without a generator, to be loaded over.

    Source: `calibration` begins at the identity, as null prompts' code (2106.13353) does; `soft` at the mean
    output vector of each label's words, so that both begin with what the words say.
    """
    if card.kind == "calibration":
        head = Head(card, len(card.labels))
        with torch.no_grad():
            head.weight.copy_(torch.eye(len(card.labels)))
        return head
    if card.kind == "soft" and not card.words:
        return Head(card, backbone.output_vectors([0])[0].shape[1], generator)
    if card.kind == "soft":
        rows = [backbone.output_vectors(ids) for ids in card.words]
        head = Head(card, rows[0][0].shape[1])
        with torch.no_grad():
            head.weight.copy_(torch.stack([vectors.float().mean(0) for vectors, _ in rows]))
            head.bias.copy_(torch.stack([biases.float().mean() for _, biases in rows]))
        return head
    return Head(card, backbone.state_size, generator)


def pool(
    states: Float[Tensor, "row seq hidden"], mask: Int[Tensor, "row seq"], pooling: str
) -> Float[Tensor, "row hidden"]:
    """The state of each row's first or last real token, or the mean of its real ones."""
    if pooling == "mean":
        # In float32, and without the padding's states, which need not even be numbers.
        real = states.float().masked_fill(mask[..., None] == 0, 0)
        return real.sum(1) / mask.sum(1, keepdim=True)
    places = torch.arange(mask.shape[1], device=mask.device)
    # Of the real places the largest; for the first, of the same counted from the right.
    last = (places * mask).argmax(1)
    first = ((mask.shape[1] - places) * mask).argmax(1)
    chosen = first if pooling == "first" else last
    return states[torch.arange(len(states), device=states.device), chosen]


def pool_picture(
    states: Float[Tensor, "row seq hidden"], kinds: Int[Tensor, "row seq"], pooling: str
) -> Float[Tensor, "row hidden"]:
    """The class token's state, or the mean over the kinds of tokens that are read."""
    wanted = torch.zeros_like(kinds)
    for kind in _READ[pooling]:
        wanted = wanted + (kinds == kind)
    if not bool(wanted.any(1).all()):
        raise PromptError(
            "head.pooling",
            f"'{pooling}' of a picture without such tokens",
            "tokens that the picture has",
            "choose another, e.g. 'image', which every picture has",
        )
    return pool(states, wanted, "first" if pooling == "cls" else "mean")


def _hidden(width: int, generator: torch.Generator | None) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, width, width)
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.bias.zero_()
        layer.weight.zero_()
        if generator is not None:
            layer.weight.normal_(0, (2 / width) ** 0.5, generator=generator)  # Kaiming's, for ReLU
    return layer


def resolve_pooling(card: HeadCard, sites: Sequence[str], has_class: bool | None = None) -> HeadCard:
    """The card with its pooling decided: `first` on encoders, `last` on everything else.

    Of pictures the class token, or the patches where there is none.

    Args:
        card: as the user wrote it.
        sites: the backbone's attention sites; an encoder has only `encoder`.
        has_class: whether a backbone that reads pictures has a class token; None reads texts.

    Raises:
        PromptError: a head for pictures on a backbone that reads texts, or the other way round.
    """
    if (card.kind == "picture") != (has_class is not None):
        reads = "texts" if has_class is None else "pictures"
        wanted = "one that reads texts" if has_class is None else "'picture'"
        raise PromptError("head.kind", f"'{card.kind}' on a backbone that reads {reads}", wanted)
    if has_class is not None:
        if card.pooling == "cls" and not has_class:
            raise PromptError(
                "head.pooling", "'cls' on a backbone without a class token", "'image', 'prompt' or 'mean'"
            )
        chosen = card.pooling or ("cls" if has_class else "image")
        return card.model_copy(update={"pooling": chosen})
    if card.kind not in _POOLED or card.pooling is not None:
        return card
    return card.model_copy(update={"pooling": "first" if set(sites) == {"encoder"} else "last"})
