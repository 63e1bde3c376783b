"""Tables in Markdown."""

from collections.abc import Iterable

Table = list[list[str]]
"""A head, and a line for each row; the first entry names the row."""


def table_lines(table: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table with its head; all columns but the first are aligned right."""
    head, *rows = [[escaped(text) for text in line] for line in table]
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(line)} |" for line in (head, rule, *rows)]


def escaped(text: str) -> str:
    """A text in the form that a cell of a table needs."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
