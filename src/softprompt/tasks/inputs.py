"""Rows of token ids from texts and pairs of texts, in each tokenizer's own form."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softprompt.errors import BackboneError, ConfigError, DataError
from softprompt.tasks.batching import pad

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


@dataclass(frozen=True)
class Row:
    """One sequence that a backbone reads.

    Args:
        ids: tokens, special ones included.
        segments: for each token the text that it belongs to (0 or 1); empty for models without token types.
    """

    ids: tuple[int, ...]
    segments: tuple[int, ...] = ()


@dataclass(frozen=True)
class Frame:
    """The tokens around a text, or around the two texts of a pair, and the segment of each part.

    Args:
        segments: of `before`, the first text, `between`, the second text and `after`; empty for models
            without token types.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    segments: tuple[int, ...]

    @property
    def n_special(self) -> int:
        """Tokens that belong to neither text."""
        return len(self.before) + len(self.between) + len(self.after)

    def row(self, first: Sequence[int], second: Sequence[int] = ()) -> Row:
        """The row of a tokenised text, or of a pair of them."""
        parts = (self.before, tuple(first), self.between, tuple(second), self.after)
        ids = tuple(i for part in parts for i in part)
        if not self.segments:
            return Row(ids)
        return Row(ids, tuple(s for s, part in zip(self.segments, parts, strict=True) for _ in part))


class RowForm:
    """Rows of texts, with a count of the texts that were cut.

    Args:
        backbone: the frozen model with its tokenizer.
        max_tokens: longest row, special tokens included.
        separator: text between the two texts of a pair, for tokenizers without a form for pairs.
    """

    def __init__(self, backbone: "Backbone", max_tokens: int, separator: str = "\n"):
        self._backbone = backbone
        self._tokenizer: Any = backbone.tokenizer
        self._max_tokens = max_tokens
        self._separator = separator
        self._cut: set[tuple[str, str | None]] = set()
        # A model with one token type ignores it, and a model without a table of token types may refuse them.
        n_kinds = getattr(backbone.model.config.get_text_config(), "type_vocab_size", None) or 0
        self._has_segments = "token_type_ids" in self._tokenizer.model_input_names and n_kinds > 1

    @property
    def n_cut(self) -> int:
        """Texts, or pairs, that were too long; a text that is read several times counts once."""
        return len(self._cut)

    @property
    def pairs_itself(self) -> bool:
        """Whether the tokenizer separates the texts of a pair by special tokens."""
        return self._own_pair is not None

    @cached_property
    def single(self) -> Frame:
        """The tokens around a single text."""
        encoded = self._tokenizer("a", return_special_tokens_mask=True)
        ids, ((start, end),) = encoded["input_ids"], _texts(encoded["special_tokens_mask"])
        kinds = self._kinds(encoded, (0, start, start, start, end))
        return Frame(tuple(ids[:start]), (), tuple(ids[end:]), kinds)

    @cached_property
    def pair(self) -> Frame:
        """The tokens around the texts of a pair: the tokenizer's own form, or the separator between them."""
        if self._own_pair is not None:
            return self._own_pair
        single, between = self.single, self._ids(self._separator)
        return Frame(single.before, tuple(between), single.after, single.segments)

    @cached_property
    def _own_pair(self) -> Frame | None:
        encoded = self._tokenizer("a", "a", return_special_tokens_mask=True)
        ids, texts = encoded["input_ids"], _texts(encoded["special_tokens_mask"])
        if len(texts) < 2:
            return None
        (first, end_of_first), (second, end) = texts
        between = tuple(ids[end_of_first:second])
        tokenizer = self._tokenizer
        # Llama's template has a begin token before both texts, which is no separator.
        if set(between) <= {tokenizer.bos_token_id} - {tokenizer.eos_token_id, tokenizer.sep_token_id}:
            return None
        kinds = self._kinds(encoded, (0, first, end_of_first, second, end))
        return Frame(tuple(ids[:first]), between, tuple(ids[end:]), kinds)

    def row(self, text: str, second: str | None, where: str) -> Row:
        """The row of one text or a pair; what is too long is cut at its end, of a pair the longer text first.

        Raises:
            DataError: a text without a token.
            ConfigError: `max_tokens` leaves no room.
        """
        first, rest, frame = self._ids(text), [], self.single
        if second is not None and self.pairs_itself:
            rest, frame = self._ids(second), self.pair
        elif second is not None:
            # The separator is tokenised together with the text behind it, since a space belongs to a word.
            rest = self._ids(self._separator + second)
        nothing = [] if self.pairs_itself else list(self.pair.between)
        if not first or (second is not None and rest == nothing):
            which, empty = ("a text", text) if not first else ("a second text", second)
            raise DataError(where, f"{which} without tokens ({empty!r})", "a text that leaves tokens")
        room = self.room(frame, 1 if second is None else 2)
        if len(first) + len(rest) > room:
            self._cut.add((text, second))
        while len(first) + len(rest) > room:
            (first if len(first) >= len(rest) else rest).pop()
        return frame.row(first, rest)

    def room(self, frame: Frame, at_least: int = 1) -> int:
        """The number of tokens that a row has for its texts.

        Raises:
            ConfigError: fewer than `at_least`.
        """
        room = self._max_tokens - frame.n_special
        if room < at_least:
            raise ConfigError(
                "task.max_tokens",
                f"{self._max_tokens}, of which {frame.n_special} are special tokens",
                f"at least {frame.n_special + at_least}",
                "raise it",
            )
        return room

    def tokens(self, text: str, longest: int) -> list[int]:
        """The text's tokens without special ones, cut at the end (and counted) if there are more."""
        ids = self._ids(text)
        if len(ids) > longest:
            self._cut.add((text, None))
        return ids[:longest]

    def characters(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The text's tokens without special ones, and the characters that each covers."""
        self._needs_offsets()
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(encoded["input_ids"]), [(a, b) for a, b in encoded["offset_mapping"]]

    def words(self, words: Sequence[str], where: str, unknown: bool = False) -> tuple[list[int], list[int]]:
        """The tokens of a sentence given in words, and for each token the index of its word.

        A token that holds only the space before a word counts as the end of the word before it, so that
        every word begins with a token of its own characters.

        Args:
            words: of the sentence.
            where: names it in errors.
            unknown: let the unknown token stand for words of which the tokenizer leaves nothing.

        Raises:
            DataError: a word without a token.
            BackboneError: a tokenizer without offsets.
        """
        starts, ends, text = [], [], ""
        for word in words:
            text += " " if starts else ""
            starts.append(len(text))
            text += word
            ends.append(len(text))
        ids, offsets = self.characters(text)
        owners: list[int] = []
        word = 0
        for _, end in offsets:
            # A token, which may begin with a space, belongs to the word of its last character.
            while ends[word] < end:
                word += 1
            owners.append(owners[-1] if owners and end <= starts[word] else word)
        for i in sorted(set(range(len(words))) - set(owners)):
            substitute = self._tokenizer.unk_token_id if unknown else None
            if substitute is None:
                do = "let an unknown token stand for it with task.vanished=unknown"
                raise DataError(
                    where,
                    f"the word {words[i]!r} (number {i + 1}), of which the tokenizer leaves nothing",
                    "words that have tokens",
                    "remove it with its tag"
                    + (" (the tokenizer has no unknown token)" if unknown else f", or {do}"),
                )
            place = bisect_left(owners, i)
            ids.insert(place, substitute)
            owners.insert(place, i)
        return ids, owners

    def _needs_offsets(self) -> None:
        if not self._tokenizer.is_fast:
            raise BackboneError(
                f"backbone {self._backbone.spec.name}", "a tokenizer without offsets", "a fast tokenizer"
            )

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _kinds(self, encoded: Any, places: Sequence[int]) -> tuple[int, ...]:
        """The segments at these places of an encoded text; behind its end, that of the last token."""
        if not self._has_segments:
            return ()
        kinds = encoded["token_type_ids"]
        # An empty part needs no segment, so that any value will do.
        return tuple(kinds[min(place, len(kinds) - 1)] for place in places)


def _texts(special: Sequence[int]) -> list[tuple[int, int]]:
    """Start and end of each text, a run of tokens that are not special."""
    edges = [i for i in range(len(special) + 1) if [*special, 1][i] != [1, *special][i]]
    return list(zip(edges[::2], edges[1::2], strict=True))


def collate(backbone: "Backbone", rows: Sequence[Row]) -> dict[str, Tensor]:
    """Rows as one batch, padded on the right.

    Returns:
        `input_ids`, `attention_mask` and, for rows with segments, `token_type_ids`, each `[row, seq]`.
    """
    tokenizer: Any = backbone.tokenizer
    # Padding is masked everywhere, so that any token will do for a tokenizer without a padding token.
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    ids, mask = pad([row.ids for row in rows], filler, "right", backbone.device)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if any(row.segments for row in rows):
        inputs["token_type_ids"] = pad([row.segments for row in rows], 0, "right", backbone.device)[0]
    return inputs


def labels_tensor(values: Sequence[int], device: torch.device) -> Tensor:
    """Label indices, `[example]`."""
    return torch.tensor(values, dtype=torch.long, device=device)
