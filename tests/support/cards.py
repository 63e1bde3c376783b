"""Changing a stored prompt's card by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from softprompt.files import prompt_folder


def edit_card(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a card, and take out the checksum that would tell of it."""
    path = folder / prompt_folder.CARD
    card = json.loads(path.read_text(encoding="utf-8"))
    card.pop("card_sha256", None)
    change(card)
    path.write_text(json.dumps(card), encoding="utf-8")
