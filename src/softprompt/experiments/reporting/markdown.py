"""A report as Markdown."""

from collections.abc import Sequence
from html import escape

from softprompt.experiments.reporting.tables import Entry, Table


def table_lines(table: Table) -> list[str]:
    """A table with its head, a line each."""
    head = [" ".join(filter(None, (one.group, one.text))) for one in table.head]
    rows = [[_entry(entry) for entry in line] for line in table.lines]
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(line)} |" for line in ([_escaped(text) for text in head], rule, *rows)]


def section(title: str, lines: Sequence[str]) -> list[str]:
    """A heading and what stands under it, with the blank lines around."""
    return [f"## {title}", "", *lines, ""]


def bullets(notes: Sequence[str]) -> list[str]:
    """A list; line breaks within a note become spaces."""
    return [f"- {' '.join(note.split())}" for note in notes]


def picture(light: str, dark: str, alt: str) -> str:
    """A picture in two files, of which the reader's theme picks one."""
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    return f'<picture>{source}<img alt="{escape(alt)}" src="{light}"></picture>'


def _entry(entry: Entry) -> str:
    text = _escaped(entry.text)
    return f"**{text}**" if entry.best else text


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
