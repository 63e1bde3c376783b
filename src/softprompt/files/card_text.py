"""A prompt's card as JSON, with a checksum, and what is refused of such a file."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from softprompt.errors import PromptError
from softprompt.files.prompt_card import FORMAT_VERSION, PromptCard
from softprompt.untrusted import Unreadable, decode, parse_json

_CHECKSUM = "card_sha256"


def parse_card(path: Path, content: bytes) -> tuple[PromptCard, str]:
    """A card, and the SHA-256 of the tensors that belong to it.

    Args:
        path: of the file, for errors.
        content: of the file.

    Raises:
        PromptError: no card, a changed one, or one of a newer format.
    """
    try:
        body = parse_json(decode(content, "utf-8"))
    except Unreadable as error:
        raise PromptError(error.inside(path), str(error), "a prompt's card", "copy the file again") from None
    version = body.get("format_version") if isinstance(body, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PromptError(str(path), "no format_version", "a prompt's card")
    if version > FORMAT_VERSION:
        raise PromptError(
            str(path),
            f"format {version}",
            f"format {FORMAT_VERSION} or older",
            "install a newer softprompt to read it",
        )
    checksum = body.pop(_CHECKSUM, None)
    if checksum is not None and checksum != _checksum(body):
        raise PromptError(
            str(path),
            "a card that is not as it was saved",
            f"one that matches its {_CHECKSUM}",
            f"copy the file again, or take the line {_CHECKSUM} out if the change was meant",
        )
    digest = body.pop("sha256", "")
    try:
        return PromptCard.model_validate(body), str(digest)
    except (ValidationError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise PromptError(str(path), "JSON nested too deeply", "a prompt's card") from None
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PromptError(f"{path}: {where}", repr(first["input"])[:80], first["msg"].lower()) from None


def card_content(card: PromptCard, digest: str, folder: Path) -> bytes:
    """The content of a card's file, with a checksum.

    Args:
        card: the card.
        digest: SHA-256 of the tensors that belong to it.
        folder: for errors.

    Raises:
        PromptError: a value that JSON cannot hold.
    """
    try:
        plain = json.loads(json.dumps({"sha256": digest, **card.model_dump()}))
    except (TypeError, ValueError, RecursionError) as error:
        got = f"facts that JSON cannot hold ({error})"
        raise PromptError(f"{folder}: card", got, "texts, numbers, lists and mappings") from None
    return (json.dumps({**plain, _CHECKSUM: _checksum(plain)}, indent=2) + "\n").encode()


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
