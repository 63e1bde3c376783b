"""Terms that the makers of a bundled backbone ask one to agree to before its first download."""

import os
import re
from html.parser import HTMLParser

from softprompt.backbones.loading.bundled import BundledBackbone, Terms
from softprompt.errors import BackboneError

AGREED = "SOFTPROMPT_AGREE"
"""Environment variable with the names of the backbones to whose terms the user agrees."""

_UNSEEN = ("script", "style", "template", "svg")


def agreed_before(entry: BundledBackbone) -> bool:
    """Whether the environment says that the user agrees to the terms of a backbone."""
    return entry.name in re.split(r"[,\s]+", os.environ.get(AGREED, ""))


def no_agreement(entry: BundledBackbone, terms: Terms) -> BackboneError:
    """The refusal to download a model to whose terms nobody agreed."""
    return BackboneError(
        f"backbone {entry.name}",
        f"no agreement to the terms of its makers ({terms.address})",
        "your agreement before its first download",
        f"read them with `softprompt backbones pull {entry.name}`, which shows them and asks; "
        f"without a terminal add --agree, or set the environment variable {AGREED}={entry.name}",
    )


def as_text(page: str) -> str:
    """The text of an HTML page, a line for each paragraph; of a page with an article only the article."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    words = "".join(reader.article or reader.all)
    lines = (" ".join(line.split()) for line in words.replace("\n", " ").split(_BREAK))
    return "\n".join(line for line in lines if line)


_BREAK = "\x00"
_BLOCKS = ("p", "li", "h1", "h2", "h3", "h4", "div", "br", "tr", "article", "section", "ol", "ul")


class _Reader(HTMLParser):
    """Collects the texts of a page, and those within its article."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []
        self.article: list[str] = []
        self._unseen = self._inside = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self._inside += tag == "article"
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._break(tag)
        self._unseen -= tag in _UNSEEN
        self._inside -= tag == "article"

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.all.append(data)
            if self._inside:
                self.article.append(data)

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.handle_data(_BREAK)
