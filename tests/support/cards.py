"""Changing a stored prompt's card as its author could, with a checksum that fits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from softprompt.files import card_text, prompt_folder


def edit_card(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a card, and write the checksum of what it has become."""
    path = folder / prompt_folder.CARD
    card = json.loads(path.read_text(encoding="utf-8"))
    card.pop("card_sha256", None)
    change(card)
    path.write_text(json.dumps(card | {"card_sha256": card_text.checksum(card)}), encoding="utf-8")
