"""Templates: the text around a record, with a blank for the answer and soft slots.

    {sentence} It was [blank].
    [soft*3] {subject} [soft*3] [blank] [soft*3]
    {premise!} ? [blank] , {hypothesis}

The language:

    {premise}           a field of the record; where the text is too long, the longest is cut at its end
    {premise!}          the same, but never cut
    [blank]             the place of the answer, exactly once
    [soft] [soft*3]     one soft slot, three of them: vectors in place of tokens
    [soft#a]            a named slot: the same vector wherever the name stands again
    [soft#a*2]          two of them, shared in order
    [soft*2: It was]    two that begin from the vectors of these words
    [sep]               the tokenizer's separator token
    [[ ]] {{ }}         a bracket itself
    anything else       words that stand as they are

Spaces before a slot, a separator or the blank are no tokens: the word that follows carries them, as it
does inside any sentence. So the answer is a word with a space in front, unless text, a line break or
a field stands directly before the blank.
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

    Source: the general form of both papers: P-Tuning (2103.10385) section 3, with pseudo tokens and
    anchors anywhere, and null prompts (2106.13353), whose [P] and [T] are [blank] and [soft] here.
    """

    text: str
    pieces: tuple[Piece, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str, where: str = "template") -> "Template":
        """Read a template.

        Args:
            text: in the language of this module; `str(template)` gives it back.
            where: names the setting in errors.

        Raises:
            ConfigError: it does not follow the language, or has no blank or several.
        """
        return cls(text, parser.parse(text, where))

    def __str__(self) -> str:
        return self.text

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields it needs, each once, in order."""
        return tuple(dict.fromkeys(piece.name for piece in self.pieces if isinstance(piece, Field)))

    @property
    def slots(self) -> tuple[int, ...]:
        """The vector of every slot, in order: `[soft#a] [soft*2] [soft#a]` has 0, 1, 2, 0."""
        return tuple(number for piece in self.pieces if isinstance(piece, Slots) for number in piece.numbers)

    @property
    def n_slots(self) -> int:
        """Different vectors; shared ones count once."""
        return len(set(self.slots))

    @property
    def spaced(self) -> bool:
        """Whether the answer is written with a space in front, see the module's last paragraph."""
        before = self.pieces[self._blank - 1] if self._blank else None
        return before.text.endswith(" ") if isinstance(before, Text) else not isinstance(before, Field)

    def start_ids(self, tokenizer: Any, where: str = "template") -> dict[int, int]:
        """The token whose vector a slot begins from, by the slot's number; slots without words are absent.

        Raises:
            ConfigError: the words are not as many tokens as there are slots, or hold unknown ones.
        """
        ids: dict[int, int] = {}
        for piece in self.pieces:
            if not isinstance(piece, Slots) or not piece.start:
                continue
            tokens = word_ids(tokenizer, piece.start, spaced=True, where=where)
            if len(tokens) != len(piece.numbers):
                pieces = " ".join(tokenizer.convert_ids_to_tokens(list(tokens)))
                got = f"{len(piece.numbers)} slots that begin from '{piece.start}'"
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

        All is tokenised as one text, so that a template without slots gives exactly the ids of that
        text. What has to be cut goes token by token, from the field that is longest by then (the
        later one of equals); template text, slots, blank and special tokens stay.

        Sources: pseudo tokens in place, P-Tuning section 3; cutting the longest field, null prompts'
        code. Deviations: nothing is decoded and encoded again for cutting; the position that is read
        is the one that is trained (P-Tuning's GPT code trains one and reads the next).

        Args:
            tokenizer: of the backbone; one that reports offsets (a "fast" one).
            values: the record's fields; others than the template's are not looked at.
            max_tokens: of everything together: special tokens, slots and blanks too.
            causal: whether the model reads from left to right; then the blank takes no token and
                must be last, and special tokens that the tokenizer puts behind a text are left out.
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
        """A record with its answer, as words of the template language: to stand in another template.

        Args:
            values: the record's fields.
            word: what fills the blank.

        Raises:
            ConfigError: there are slots, which are not words.
        """
        if self.n_slots:
            raise ConfigError("template", f"{self.n_slots} slots", "no slots, since they are not words")
        said: list[str] = []
        for piece in self.pieces:
            match piece:
                case Text(text=text):
                    said.append(parser.escaped(text))
                case Field(name=name):
                    said.append(parser.escaped(values[name]))
                case Blank():
                    said.append(parser.escaped(word))
                case _:
                    said.append("[sep]")
        return "".join(said)

    @property
    def _blank(self) -> int:
        return self.pieces.index(Blank())


def null_template(fields: Sequence[str], *, causal: bool = False) -> Template:
    """The fields and a blank, nothing written by hand: `{premise} [blank] {hypothesis}`.

    Source: null prompts (2106.13353) section 4. The blank stands before the last field, as in the
    paper's inference tasks; behind a single one; behind all of them for causal models (not in the paper).

    Args:
        fields: in the order that they stand in.
        causal: whether the model reads from left to right.

    Raises:
        ConfigError: no field.
    """
    n = len(fields)
    if isinstance(fields, str) or n == 0:
        raise ConfigError("null_template.fields", repr(fields), "a list with at least one field")
    before = n if causal else max(n - 1, 1)
    parts = [f"{{{name}}}" for name in fields]
    return Template.parse(" ".join([*parts[:before], "[blank]", *parts[before:]]))
