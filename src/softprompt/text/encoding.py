"""Token ids of a record in a template.

The text is tokenised in one call. Slots, separators and the blank are written into the text as special
tokens, which a tokenizer never merges with their neighbours; offsets then tell which piece each token
belongs to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.errors import ConfigError, DataError, kind_of, nearest
from softprompt.text.cutting import Token, shortened
from softprompt.text.parser import Blank, Field, Piece, Separator, Slots, Text, visible


@dataclass(frozen=True)
class Filled:
    """One record in a template.

    Args:
        ids: token ids; slot k is -(k+1).
        blanks: positions whose output predicts the answer: the mask tokens for a masked model, the
            last token for a causal one.
        segments: token types, one per id: 0 up to the first separator and 1 after it if the
            tokenizer has token types, else 0.
        n_cut: number of tokens that were cut.
        spaced: whether the answer is written with a space in front.
    """

    ids: tuple[int, ...]
    blanks: tuple[int, ...]
    segments: tuple[int, ...]
    n_cut: int
    spaced: bool


@dataclass
class _Span:
    """The characters of a piece in the written text, [start, end)."""

    piece: Piece
    start: int
    end: int


def check(pieces: Sequence[Piece], tokenizer: Any, *, causal: bool, where: str) -> None:
    """Refuse a template that does not suit the tokenizer or the kind of model.

    Raises:
        ConfigError: a template and a model that do not go together.
    """
    if not tokenizer.is_fast:
        raise ConfigError(where, "a tokenizer without offsets", "a fast tokenizer (tokenizer.json)")
    blank = pieces.index(Blank())
    before, behind = visible(pieces[:blank]), visible(pieces[blank + 1 :])
    if causal and behind:
        got = f"{_as_written(behind[0])} after [blank]"
        hint = "put [blank] at the end, or use a masked model"
        raise ConfigError(where, got, "nothing, since a causal model reads from left to right", hint)
    if causal and not before:
        raise ConfigError(
            where, "nothing before [blank]", "a field, a slot or a text that predicts the answer"
        )
    if not causal and tokenizer.mask_token is None:
        hint = "use a masked model such as BERT, or say that the model is causal"
        raise ConfigError(
            where, "a tokenizer without a mask token", "a tokenizer with one, which is the blank", hint
        )
    if tokenizer.sep_token is None and Separator() in pieces:
        got = "[sep] for a tokenizer without a separator token"
        raise ConfigError(where, got, "a tokenizer that has one", "leave [sep] out")
    if not tokenizer.all_special_tokens and any(isinstance(piece, Slots) for piece in pieces):
        got = "[soft] for a tokenizer without special tokens"
        raise ConfigError(where, got, "at least one special token, which marks the slots in the text")


def fill(
    pieces: Sequence[Piece],
    tokenizer: Any,
    values: Mapping[str, str],
    max_tokens: int,
    *,
    causal: bool,
    n_blanks: int,
    spaced: bool,
    where: str,
) -> Filled:
    """`Template.encode`, for pieces that have passed `check`."""
    if n_blanks < 1 or (causal and n_blanks > 1):
        expected = "1, since a causal model's blank takes no token" if causal else "at least 1"
        raise ConfigError(where, f"n_blanks={n_blanks}", expected)
    text, spans = _written(pieces, tokenizer, values, causal, where)
    tokens = _tokens(text, spans, tokenizer, causal, n_blanks, where)
    fields = {i: span.piece for i, span in enumerate(spans) if isinstance(span.piece, Field)}
    if not tokens or (fields and not any(values[piece.name].strip() for piece in fields.values())):
        names = ", ".join(dict.fromkeys(piece.name for piece in fields.values()))
        raise DataError(where, f"no text in {names}", "text in at least one of the template's fields")
    kept = shortened(tokens, fields, max_tokens, where)
    return Filled(
        ids=tuple(token.id for token in kept),
        blanks=(len(kept) - 1,) if causal else tuple(i for i, token in enumerate(kept) if token.blank),
        segments=tuple(token.segment for token in kept),
        n_cut=len(tokens) - len(kept),
        spaced=spaced,
    )


def _written(
    pieces: Sequence[Piece], tokenizer: Any, values: Mapping[str, str], causal: bool, where: str
) -> tuple[str, list[_Span]]:
    """The text with special tokens for slots, separators and the blank; the spans of all pieces but texts."""
    text = ""
    spans: list[_Span] = []
    for piece in pieces:
        if isinstance(piece, Text):
            text += piece.text
            continue
        if isinstance(piece, Field):
            new = _value(values, piece.name, where)
        else:
            text = text.rstrip(" ")
            for span in spans:
                span.start, span.end = min(span.start, len(text)), min(span.end, len(text))
            if causal and isinstance(piece, Blank):
                break
            new = _special_token(piece, tokenizer)
        spans.append(_Span(piece, len(text), len(text) + len(new)))
        text += new
    return text, spans


def _tokens(
    text: str, spans: Sequence[_Span], tokenizer: Any, causal: bool, n_blanks: int, where: str
) -> list[Token]:
    encoded = tokenizer(text, return_offsets_mapping=True, verbose=False)
    ids, offsets, sources = encoded["input_ids"], encoded["offset_mapping"], encoded.sequence_ids()
    types = encoded.get("token_type_ids", [0] * len(ids))
    has_types = "token_type_ids" in tokenizer.model_input_names
    n = len(ids)
    while causal and n and sources[n - 1] is None:
        n -= 1
    marks = [span for span in spans if not isinstance(span.piece, Field)]
    behind_separator = False
    tokens: list[Token] = []
    for i in range(n):
        start, end = offsets[i]
        segment = max(types[i], 1) if behind_separator and has_types else types[i]
        if sources[i] is None:
            tokens.append(Token(ids[i], segment))
        elif marks and _is_mark(marks[0], tokenizer, ids[i], start, end):
            match marks.pop(0).piece:
                case Slots(numbers=numbers):
                    tokens += [Token(-(number + 1), segment) for number in numbers]
                case Blank():
                    tokens += [Token(tokenizer.mask_token_id, segment, blank=True)] * n_blanks
                case _:
                    tokens.append(Token(ids[i], segment))
                    behind_separator = True
        else:
            tokens.append(Token(ids[i], segment, _field_of(text, start, end, spans)))
    if marks:
        got = f"a tokenizer that does not read {_special_token(marks[0].piece, tokenizer)!r} as one token"
        raise ConfigError(where, got, "a tokenizer that knows its special tokens in a text")
    return tokens


def _is_mark(mark: _Span, tokenizer: Any, token: int, start: int, end: int) -> bool:
    # The span of a special token may include the white space around it.
    covers = start <= mark.start and mark.end <= end
    return covers and token == tokenizer.convert_tokens_to_ids(_special_token(mark.piece, tokenizer))


def _field_of(text: str, start: int, end: int, spans: Sequence[_Span]) -> int | None:
    """The index of the field that holds a token, white space around the token aside; None without one."""
    inside = text[start:end]
    if inside.strip():
        start, end = end - len(inside.lstrip()), start + len(inside.rstrip())
    for i, span in enumerate(spans):
        # A token without width (a space that the tokenizer added) belongs to the text after it.
        if isinstance(span.piece, Field) and span.start <= start < span.end and end <= span.end:
            return i
    return None


def _value(values: Mapping[str, str], name: str, where: str) -> str:
    if name not in values:
        names = ", ".join(values) or "no fields"
        raise DataError(
            where, f"no field '{name}'", f"the template's fields in {names}", nearest(name, values)
        )
    value = values[name]
    if not isinstance(value, str):
        raise DataError(where, f"{kind_of(value)} in '{name}'", "a text")
    return value


def _special_token(piece: Piece, tokenizer: Any) -> str:
    if isinstance(piece, Blank):
        return tokenizer.mask_token
    if isinstance(piece, Separator):
        return tokenizer.sep_token
    return tokenizer.all_special_tokens[0]


def _as_written(piece: Piece) -> str:
    match piece:
        case Text(text=text):
            return f"'{text.strip()}'"
        case Field(name=name):
            return f"{{{name}}}"
        case Slots():
            return "[soft]"
        case _:
            return "[sep]"
