"""A prompt's card as JSON, with a checksum, and what is refused of such a file."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from softprompt.errors import PromptError, counted
from softprompt.files.json_lines import json_text
from softprompt.files.prompt_card import FORMAT_VERSION, PromptCard
from softprompt.untrusted import DEEPEST, Unreadable, decode, parse_json

MOST_CARD = 2 << 20
"""The largest card, in bytes."""

_CHECKSUM = "card_sha256"
_SINCE = 4
"""The first format whose cards have a checksum, and a record of the backbone."""


def parse_card(path: Path, content: bytes) -> tuple[PromptCard, str]:
    """A card, and the SHA-256 of the tensors that belong to it.

    Args:
        path: of the file, for errors.
        content: of the file.

    Raises:
        PromptError: no card, a changed one, or one of a newer format.
    """
    try:
        body = parse_json(decode(content, "utf-8"), DEEPEST)
    except Unreadable as error:
        raise PromptError(error.inside(path), str(error), "a prompt's card", "copy the file again") from None
    version = body.get("format_version") if isinstance(body, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PromptError(str(path), "no format_version", "a prompt's card")
    if version > FORMAT_VERSION:
        raise PromptError(
            str(path),
            f"format {str(version)[:20]}",
            f"format {FORMAT_VERSION} or older",
            "install a newer softprompt to read it",
        )
    stated = body.pop(_CHECKSUM, None)
    if stated is None and version >= _SINCE:
        raise _changed(path, f"no {_CHECKSUM}")
    if stated is not None and stated != checksum(body):
        raise _changed(path, "a card that is not as it was saved")
    if version < _SINCE and isinstance(body.get("backbone"), dict) and "record" in body["backbone"]:
        raise _changed(path, f"a record of the backbone, which no card of format {version} has")
    digest = body.pop("sha256", "")
    try:
        return PromptCard.model_validate(body), str(digest)
    except ValidationError as error:
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
    content = json_text({**plain, _CHECKSUM: checksum(plain)}, indent=2).encode()
    try:
        parse_json(decode(content), DEEPEST)
        if len(content) > MOST_CARD:
            raise Unreadable(f"{counted(len(content), 'byte')}, more than {MOST_CARD:,}")
    except Unreadable as error:
        raise PromptError(f"{folder}: card", str(error), "facts that can be read again") from None
    return content


def _changed(path: Path, got: str) -> PromptError:
    return PromptError(
        str(path),
        got,
        f"a card that matches its {_CHECKSUM}",
        "copy the file again; to change what it says, load the prompt, describe and save it",
    )


def checksum(body: Mapping[str, Any]) -> str:
    """SHA-256 of a card's content (without the checksum), and through it of the tensors that it names."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
