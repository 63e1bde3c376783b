"""The special tokens that begin a text and end a target."""

from typing import Any

from softprompt.errors import BackboneError, ConfigError, counted


def own_beginning(tokenizer: Any) -> list[int]:
    """The special tokens that a tokenizer itself puts before a text: Llama's and Gemma's BOS, GLM's two."""
    made = tokenizer("a", return_special_tokens_mask=True, verbose=False)
    special = [*made["special_tokens_mask"], 0]
    return list(made["input_ids"][: special.index(0)])


def end_token(tokenizer: Any, name: str, given: str | None = None) -> int:
    """The token behind a target: the given one, else the tokenizer's end of sequence, else its separator.

    Args:
        tokenizer: of the backbone.
        name: of the backbone, for messages.
        given: `task.end`.

    Raises:
        BackboneError: a tokenizer without such a token.
        ConfigError: a given text that is no single token.
    """
    if given is not None:
        ids = list(tokenizer(given, add_special_tokens=False, verbose=False)["input_ids"])
        if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
            got = (
                f"{given!r}, which {name} reads as {counted(len(ids), 'token')}"
                if len(ids) != 1
                else f"{given!r}, unknown"
            )
            special = ", ".join(map(repr, tokenizer.all_special_tokens[:6])) or "none"
            do = f"choose one; its special tokens are {special}"
            raise ConfigError("task.end", got, "one token of the backbone's tokenizer", do)
        return ids[0]
    for token in (tokenizer.eos_token_id, tokenizer.sep_token_id):
        if token is not None:
            return token
    example = next(iter(tokenizer.all_special_tokens), "</s>")
    raise BackboneError(
        f"backbone {name}",
        "a tokenizer without an end-of-sequence token",
        "a tokenizer with one, since every target ends with it",
        f"name the token that ends a target, e.g. task.end={example!r}, or set tokenizer.eos_token",
    )
