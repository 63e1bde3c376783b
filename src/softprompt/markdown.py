"""Texts and tables in Markdown: what names and messages hold stays text."""

import re
from collections.abc import Iterable

from softprompt.errors import printable

Table = list[list[str]]
"""A head, and a line for each row; the first entry names the row."""


def table_lines(table: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table with its head; all columns but the first are aligned right."""
    head, *rows = [[escaped(text) for text in line] for line in table]
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(line)} |" for line in (head, rule, *rows)]


def escaped(text: str) -> str:
    """A text in the form that a cell of a table needs."""
    return plain(text.replace("\\", "\\\\").replace("|", "\\|"))


def plain(text: str) -> str:
    """A text on one line in which HTML, links and pictures are text; words between backticks stay code."""
    text = printable(" ".join(text.splitlines()))
    written, end = [], 0
    for match in _BACKTICKS.finditer(text):
        # Backticks that nothing closes would close those of another text on the line.
        literal = match[0] if match[1] or match[0][0] == "\\" else "\\`" * len(match[0])
        written += [_without_markup(text[end : match.start()]), literal]
        end = match.end()
    return "".join([*written, _without_markup(text[end:])])


def _without_markup(text: str) -> str:
    return _LINK.sub(r"]\(", _TAG.sub("&lt;", text))


def code(text: str) -> str:
    """A text as code on one line, also with backticks in it."""
    text = printable(" ".join(text.splitlines()))
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return f"{'`' * (longest + 1)} {text} {'`' * (longest + 1)}" if longest else f"`{text}`"


_BACKTICKS = re.compile(r"\\\\|\\`|(`+)(?!`).+?(?<!`)\1(?!`)|`+")
"""An escaped character, code (as many backticks close it as have opened it), or backticks by themselves."""

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_LINK = re.compile(r"\]\(")
