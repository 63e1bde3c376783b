"""Texts and pairs of texts to rows of token ids, in each tokenizer's own form."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softprompt.errors import BackboneError, DataError
from softprompt.tasks.batching import pad

if TYPE_CHECKING:
    from softprompt.backbones.backbone import Backbone


@dataclass(frozen=True)
class Row:
    """What a backbone reads at once.

    Args:
        ids: tokens, special ones included.
        segments: for each token the text it belongs to (0 or 1); empty where the family has no such thing.
    """

    ids: tuple[int, ...]
    segments: tuple[int, ...] = ()


@dataclass(frozen=True)
class Frame:
    """The tokens around the two texts of a pair, and the segment of each part.

    Args:
        segments: of `before`, the first text, `between`, the second text and `after`; empty where the
            family has none.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    segments: tuple[int, ...]

    @property
    def n_special(self) -> int:
        """Tokens that belong to neither text."""
        return len(self.before) + len(self.between) + len(self.after)

    def row(self, first: Sequence[int], second: Sequence[int]) -> Row:
        """The row of a pair of tokenised texts."""
        parts = (self.before, tuple(first), self.between, tuple(second), self.after)
        ids = tuple(i for part in parts for i in part)
        if not self.segments:
            return Row(ids)
        return Row(ids, tuple(s for s, part in zip(self.segments, parts, strict=True) for _ in part))


class RowForm:
    """Makes rows; counts the texts that it had to cut.

    Args:
        backbone: the frozen model with its tokenizer.
        max_tokens: longest row, special tokens included.
        separator: text between the two texts of a pair, where the tokenizer has no form for pairs.
    """

    def __init__(self, backbone: "Backbone", max_tokens: int, separator: str = "\n"):
        self.n_cut = 0
        self._backbone = backbone
        self._tokenizer: Any = backbone.tokenizer
        self._max_tokens = max_tokens
        self._separator = separator
        self._has_segments = "token_type_ids" in self._tokenizer.model_input_names
        single, pair = (self._tokenizer.num_special_tokens_to_add(pair=p) for p in (False, True))
        self.pairs_itself = pair > single
        """Whether the tokenizer separates the texts of a pair by special tokens."""

    def row(self, text: str, second: str | None, where: str) -> Row:
        """One text or a pair; too long ones are cut at the end, of a pair the longer text first.

        Raises:
            DataError: nothing is left to read.
        """
        if second is not None and not self.pairs_itself:
            first, rest = self._ids(text), self._ids(self._separator + second)
            while len(first) + len(rest) > self._max_tokens:
                (first if len(first) >= len(rest) else rest).pop()
            whole = len(self._ids(text)) + len(self._ids(self._separator + second))
            self.n_cut += whole > self._max_tokens
            prefix, suffix = self.surround()
            encoded: dict[str, Any] = {"input_ids": [*prefix, *first, *rest, *suffix]}
        else:
            encoded = self._tokenizer(text, second, verbose=False)
            if len(encoded["input_ids"]) > self._max_tokens:
                self.n_cut += 1
                encoded = self._tokenizer(text, second, truncation=True, max_length=self._max_tokens)
        if not encoded["input_ids"]:
            raise DataError(where, "a text without tokens", "something to read")
        return self._row(encoded["input_ids"], encoded.get("token_type_ids", []))

    def frame(self) -> Frame:
        """What stands around the texts of a pair."""
        if not self.pairs_itself:
            before, after = self.surround()
            between = self._ids(self._separator)
            return Frame(tuple(before), tuple(between), tuple(after), (0,) * 5 if self._has_segments else ())
        encoded = self._tokenizer("a", "a")
        ids, owners = encoded["input_ids"], encoded.sequence_ids(0)
        first, second = owners.index(0), owners.index(1)
        end_of_first = first + owners.count(0)
        end = second + owners.count(1)
        segments: tuple[int, ...] = ()
        if self._has_segments:
            kinds = [*encoded["token_type_ids"], 0]
            # A part that is empty has no segment to show, and needs none.
            segments = tuple(kinds[i] for i in (0, first, end_of_first, second, end))
        return Frame(tuple(ids[:first]), tuple(ids[end_of_first:second]), tuple(ids[end:]), segments)

    def tokens(self, text: str, longest: int) -> list[int]:
        """The text's tokens without special ones, cut at the end where it is longer (and counted)."""
        ids = self._ids(text)
        self.n_cut += len(ids) > longest
        return ids[:longest]

    def characters(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The text's tokens without special ones, and the characters that each covers."""
        self._needs_offsets()
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(encoded["input_ids"]), [(a, b) for a, b in encoded["offset_mapping"]]

    def surround(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a single text."""
        encoded = self._tokenizer("a", return_special_tokens_mask=True)
        ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
        first = special.index(0)
        last = len(special) - special[::-1].index(0)
        return list(ids[:first]), list(ids[last:])

    def words(self, words: Sequence[str], where: str, unknown: bool = False) -> tuple[list[int], list[int]]:
        """The tokens of a sentence given in words, and for each token the index of its word.

        Args:
            words: of the sentence.
            where: names it in errors.
            unknown: let the unknown token stand for words of which the tokenizer leaves nothing.

        Raises:
            DataError: a word that leaves no token.
            BackboneError: the tokenizer cannot say which token is which word's.
        """
        self._needs_offsets()
        ends, text = [], ""
        for word in words:
            text += (" " if text else "") + word
            ends.append(len(text))
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        owners: list[int] = []
        word = 0
        for _, end in encoded["offset_mapping"]:
            # A token belongs to the word that its last character stands in; spaces may lead a token.
            while ends[word] < end:
                word += 1
            owners.append(word)
        ids = list(encoded["input_ids"])
        for i in sorted(set(range(len(words))) - set(owners)):
            stand_in = self._tokenizer.unk_token_id if unknown else None
            if stand_in is None:
                raise DataError(
                    where,
                    f"the word {words[i]!r} (number {i + 1}), of which the tokenizer leaves nothing",
                    "words that have tokens",
                    "remove it with its tag"
                    + (
                        "" if unknown else ", or let an unknown token stand for it with task.vanished=unknown"
                    ),
                )
            place = bisect_left(owners, i)
            ids.insert(place, stand_in)
            owners.insert(place, i)
        return ids, owners

    def _needs_offsets(self) -> None:
        if not self._tokenizer.is_fast:
            raise BackboneError(
                f"backbone {self._backbone.spec.name}", "a tokenizer without offsets", "a fast tokenizer"
            )

    def bare(self, ids: Sequence[int]) -> Row:
        """A row of tokens as they are, all of the first text."""
        return self._row(ids, [0] * len(ids))

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _row(self, ids: Sequence[int], segments: Sequence[int]) -> Row:
        return Row(tuple(ids), tuple(segments) if self._has_segments else ())


def collate(backbone: "Backbone", rows: Sequence[Row]) -> dict[str, Tensor]:
    """Rows as one batch, padded on the right: `input_ids`, `attention_mask`, `token_type_ids` if there are.

    Each `[row, seq]`.
    """
    tokenizer: Any = backbone.tokenizer
    # Padding is masked everywhere, so any token will do for a tokenizer that has none.
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    ids, mask = pad([row.ids for row in rows], filler, "right", backbone.device)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if any(row.segments for row in rows):
        inputs["token_type_ids"] = pad([row.segments for row in rows], 0, "right", backbone.device)[0]
    return inputs


def labels_tensor(values: Sequence[int], device: torch.device) -> Tensor:
    """Label indices, `[example]`."""
    return torch.tensor(values, dtype=torch.long, device=device)
