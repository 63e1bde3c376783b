"""Templates: the text around a record, with a blank for the answer and soft slots.

    {sentence} It was [blank].
    [soft*3] {subject} [soft*3] [blank] [soft*3]
    {premise!} ? [blank] , {hypothesis}

The language:

    {premise}           a field of the record; if a record is too long, its longest field is cut at the end
    {premise!}          a field that is never cut
    [blank]             the place of the answer, exactly once
    [soft] [soft*3]     one soft slot, three of them: vectors in place of tokens
    [soft#a]            a named slot: the same vector wherever the name occurs
    [soft#a*2]          two named slots, shared in order
    [soft*2: It was]    two slots, initialised from the embeddings of these words
    [sep]               the tokenizer's separator token
    [[ ]] {{ }}         a literal bracket
    anything else       literal text

Spaces before a slot, a separator or the blank are not tokens of their own: as in any sentence, a space
belongs to the word after it. The answer is therefore a word with a space in front, unless text, a line break
or a field comes directly before the blank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from softprompt.errors import ConfigError
from softprompt.text import parser
from softprompt.text.encoding import Filled, check, fill
from softprompt.text.parser import Blank, Field, Piece, Slots, Text
from softprompt.text.words import word_ids


@dataclass(frozen=True)
class Template:
    """A template, as `Template.parse` reads it.

    Sources: P-Tuning (2103.10385) section 3, where pseudo tokens and anchor words may be anywhere, and null
    prompts (2106.13353), whose [P] and [T] are [blank] and [soft] here.
    """

    text: str
    pieces: tuple[Piece, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str, where: str = "template") -> "Template":
        """Read a template.

        Args:
            text: in the language of this module; `str(template)` returns it.
            where: names the setting in errors.

        Raises:
            ConfigError: a syntax error, no blank, or several.
        """
        return cls(text, parser.parse(text, where))

    def __str__(self) -> str:
        return self.text

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields, each once, in order."""
        return tuple(dict.fromkeys(piece.name for piece in self.pieces if isinstance(piece, Field)))

    @property
    def slots(self) -> tuple[int, ...]:
        """The number of every slot's vector, in order: 0, 1, 2, 0 for `[soft#a] [soft*2] [soft#a]`."""
        return tuple(number for piece in self.pieces if isinstance(piece, Slots) for number in piece.numbers)

    @property
    def n_slots(self) -> int:
        """The number of different vectors."""
        return len(set(self.slots))

    @property
    def spaced(self) -> bool:
        """Whether the answer is written with a space in front, see the end of the module's docstring."""
        before = self.pieces[self._blank - 1] if self._blank else None
        return before.text.endswith(" ") if isinstance(before, Text) else not isinstance(before, Field)

    def start_ids(self, tokenizer: Any, where: str = "template") -> dict[int, int]:
        """The token from whose embedding a slot is initialised, by the slot's number; only slots with words.

        Raises:
            ConfigError: words whose number of tokens is not that of the slots, or unknown words.
        """
        ids: dict[int, int] = {}
        for piece in self.pieces:
            if not isinstance(piece, Slots) or not piece.start:
                continue
            tokens = word_ids(tokenizer, piece.start, spaced=True, where=where)
            if len(tokens) != len(piece.numbers):
                pieces = " ".join(tokenizer.convert_ids_to_tokens(list(tokens)))
                got = f"{len(piece.numbers)} slots initialised from '{piece.start}'"
                raise ConfigError(where, got, f"one slot per token: {pieces}")
            ids.update(zip(piece.numbers, tokens, strict=True))
        return ids

    def check(self, tokenizer: Any, *, causal: bool, where: str = "template") -> None:
        """Refuse, before any record is read, what `encode` would refuse for every record.

        Raises:
            ConfigError: the template and the model do not go together.
        """
        check(self.pieces, tokenizer, causal=causal, where=where)

    def encode(
        self,
        tokenizer: Any,
        values: Mapping[str, str],
        max_tokens: int,
        *,
        causal: bool,
        n_blanks: int = 1,
        where: str = "template",
    ) -> Filled:
        """The token ids of one record.

        Everything is tokenised as one text, and a template without slots gives exactly the ids of that
        text. Tokens are cut one at a time from the end of the field that is longest by then (of equally
        long fields, the last); template text, slots, blank and special tokens are kept.

        Sources: pseudo tokens within the text, P-Tuning section 3; cutting the longest field, the code of
        null prompts. Deviations: cutting does not decode and encode again; training and prediction use
        the same position (P-Tuning's GPT code trains one position and reads the next).

        Args:
            tokenizer: of the backbone; must report offsets (a "fast" tokenizer).
            values: the record's fields; those that the template lacks are ignored.
            max_tokens: limit of all tokens together, special tokens, slots and blanks included.
            causal: whether the model reads from left to right. If so, the blank takes no token and
                must be last, and special tokens that the tokenizer adds at the end are left out.
            n_blanks: mask tokens of the blank; 1 for causal models.
            where: names the record and the setting in errors.

        Raises:
            DataError: a field is missing, all are empty, or those that may not be cut are too long.
            ConfigError: the template and the model do not go together, or the template leaves no
                room for the record.
        """
        self.check(tokenizer, causal=causal, where=where)
        return fill(
            self.pieces,
            tokenizer,
            values,
            max_tokens,
            causal=causal,
            n_blanks=n_blanks,
            spaced=self.spaced,
            where=where,
        )

    def answered(self, values: Mapping[str, str], word: str) -> str:
        """A record with its answer, written in the template language for use in another template.

        Args:
            values: the record's fields.
            word: what fills the blank.

        Raises:
            ConfigError: a template with slots, which are not words.
        """
        if self.n_slots:
            raise ConfigError("template", f"{self.n_slots} slots", "no slots, since they are not words")
        parts: list[str] = []
        for piece in self.pieces:
            match piece:
                case Text(text=text):
                    parts.append(parser.escaped(text))
                case Field(name=name):
                    parts.append(parser.escaped(values[name]))
                case Blank():
                    parts.append(parser.escaped(word))
                case _:
                    parts.append("[sep]")
        return "".join(parts)

    @property
    def _blank(self) -> int:
        return self.pieces.index(Blank())


def null_template(fields: Sequence[str], *, causal: bool = False) -> Template:
    """A template of fields and a blank without any text: `{premise} [blank] {hypothesis}`.

    Source: null prompts (2106.13353) section 4. The blank comes before the last field, as in the paper's
    inference tasks; after the field if there is one; after all fields for causal models (not in the paper).

    Args:
        fields: names, in order.
        causal: whether the model reads from left to right.

    Raises:
        ConfigError: no fields.
    """
    n = len(fields)
    if isinstance(fields, str) or n == 0:
        raise ConfigError("null_template.fields", repr(fields), "a list with at least one field")
    before = n if causal else max(n - 1, 1)
    parts = [f"{{{name}}}" for name in fields]
    return Template.parse(" ".join([*parts[:before], "[blank]", *parts[before:]]))
