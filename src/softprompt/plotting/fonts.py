"""Which texts a figure can hold: characters of every script need a font that is installed."""

import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

_OWN = "DejaVu Sans"
"""The font that matplotlib brings."""

_SHAPED = frozenset(
    "ARABIC SYRIAC THAANA DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL TELUGU KANNADA MALAYALAM SINHALA "
    "THAI LAO TIBETAN MYANMAR KHMER".split()
)
"""Scripts whose letters change beside others, by the first word of their characters' names."""


def writable(text: str) -> bool:
    """Whether a figure shows a text as it is: characters have fonts, and matplotlib can join their script."""
    return not _unknown(text, _families(text)) and (_shapes() or not any(map(_is_shaped, text)))


def numbered(labels: Sequence[str]) -> tuple[list[str], bool]:
    """Labels as a figure can show them: those that no font here has, by their numbers from 1.

    Returns:
        The labels, and whether there are numbers among them.
    """
    shown = [label if writable(label) else str(i) for i, label in enumerate(labels, start=1)]
    return shown, shown != list(labels)


def set_fonts(texts: Iterable[Any]) -> None:
    """Give matplotlib texts the fonts that their characters need; warns of characters that no font has."""
    lacking = ""
    for text in texts:
        written = text.get_text()
        if written.isascii():
            continue
        families = _families(written)
        if families != (_OWN,):
            text.set_fontfamily(list(families))
        lacking += _unknown(written, families)
    if lacking:
        some = "".join(dict.fromkeys(lacking))[:10]
        message = f"no font here has {some!r}; figures show boxes instead (fonts of Noto have every script)"
        warnings.warn(message, stacklevel=2)


@cache
def _families(text: str) -> tuple[str, ...]:
    """matplotlib's font, and behind it installed ones with the characters that it lacks."""
    families, missing = [_OWN], _unknown(text, (_OWN,))
    if missing:
        from matplotlib.font_manager import fontManager

        for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.name, entry.fname)):
            plain = entry.style == "normal" and entry.weight in (400, "normal", "regular")
            if plain and entry.name not in families and missing[0] in _characters(entry.fname):
                families.append(entry.name)
                missing = "".join(c for c in missing if c not in _characters(entry.fname))
                if not missing:
                    break
    return tuple(families)


def _unknown(text: str, families: tuple[str, ...]) -> str:
    """The characters that no font of some families has."""
    from matplotlib.font_manager import FontProperties, fontManager

    known: frozenset[str] = frozenset()
    for family in families:
        known |= _characters(fontManager.findfont(FontProperties(family=[family])))
    return "".join(c for c in text if c not in known and unicodedata.category(c)[0] not in "CZ")


@cache
def _characters(path: str) -> frozenset[str]:
    """What a font file has; nothing for one that cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()


def _shapes() -> bool:
    """Whether this matplotlib writes from right to left and joins letters."""
    from matplotlib import ft2font

    return hasattr(ft2font, "__libraqm_version__")


def _is_shaped(character: str) -> bool:
    rightward = unicodedata.bidirectional(character) in ("R", "AL")
    return rightward or unicodedata.name(character, "").split(" ")[0] in _SHAPED
