"""Cutting the fields of a record that is too long for its template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from softprompt.errors import ConfigError, DataError, counted
from softprompt.text.parser import Field


@dataclass(frozen=True)
class Token:
    """One token of an encoded record.

    Args:
        id: token id; slot k is -(k+1).
        segment: token type.
        field: index of the field that the token belongs to; None for the template's own tokens.
        blank: whether the token is a blank to be filled.
    """

    id: int
    segment: int
    field: int | None = None
    blank: bool = False


def shortened(
    tokens: Sequence[Token], fields: Mapping[int, Field], max_tokens: int, where: str
) -> Sequence[Token]:
    """At most `max_tokens` tokens; each token that goes is the last one of the field that is longest by then.

    Args:
        tokens: of one record.
        fields: by the index that their tokens have.
        max_tokens: the limit.
        where: names the record and the setting in errors.

    Raises:
        ConfigError: the template alone is too long.
        DataError: the fields that may not be cut are too long.
    """
    if len(tokens) <= max_tokens:
        return tokens
    left = {place: sum(token.field == place for token in tokens) for place in fields}
    n_template = len(tokens) - sum(left.values())
    needed = n_template + bool(fields)
    if needed > max_tokens:
        room = ", which leaves room for the record" if fields else ""
        hint = "shorten the template, or allow more tokens"
        raise ConfigError(where, f"room for {counted(max_tokens, 'token')}", f"{needed} or more{room}", hint)
    excess = len(tokens) - max_tokens
    cuttable = [place for place, field in fields.items() if not field.whole]
    if excess > sum(left[place] for place in cuttable):
        names = ", ".join(dict.fromkeys(field.name for field in fields.values() if field.whole))
        n = sum(left.values()) - sum(left[place] for place in cuttable)
        expected = f"at most {max_tokens - n_template} tokens beside the template's {n_template}"
        hint = "allow more tokens, or remove the '!'"
        raise DataError(where, f"{counted(n, 'token')} in {names}, never to be cut", expected, hint)
    for _ in range(excess):
        left[max(cuttable, key=lambda place: (left[place], place))] -= 1
    kept: list[Token] = []
    for token in tokens:
        if token.field is not None:
            left[token.field] -= 1
            if left[token.field] < 0:
                continue
        kept.append(token)
    return kept
