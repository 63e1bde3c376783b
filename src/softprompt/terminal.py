"""What reaches the terminal: texts of cards, data and models are shown, and never steer it.

Every command prints through this module. Control characters, escape sequences and characters that turn the
direction of writing are written out (`\\x1b`), and square brackets are no markup. The one exception is a
prediction whose output goes to a file or a program, which keeps the exact text.
"""

import sys
import warnings
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from softprompt.errors import printable

_ANY_WIDTH = 10_000


class Terminal(Console):
    """A console on which no text has markup, emoji codes or control characters; styles are rich's objects.

    Args:
        stderr: write to standard error.
    """

    def __init__(self, stderr: bool = False):
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Any:
        """A text within a table, cleaned before its width is measured."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """The parts of whatever is printed; those that rich itself made to move the cursor stay."""
        given = options or self.options
        if isinstance(renderable, Table) and renderable.show_header:
            for column in renderable.columns:
                column.overflow = "fold"
            if _needed(self, renderable) > given.max_width:
                renderable = _stacked(renderable)
        for part in super().render(renderable, options):
            yield part if part.control else Segment(printable(part.text), part.style)


def _needed(console: Console, table: Table) -> int:
    """The width at which no word of a table is cut in two."""
    return Measurement.get(console, console.options.update_width(_ANY_WIDTH), table).minimum


def _stacked(table: Table) -> Group:
    """A table for narrow terminals: the name of each row, and under it a line for each column."""
    heads = [" ".join(_plain(column.header).split()) for column in table.columns]
    lines: list[Text] = []
    for cells in zip(*(list(column.cells) for column in table.columns), strict=True):
        name, *values = map(_plain, cells)
        lines.append(Text(name or heads[0], style="bold", overflow="fold"))
        for head, value in zip(heads[1:], values, strict=True):
            if value.strip():
                lines.append(Text(f"  {head}: {value}", overflow="fold"))
    above = [Text(_plain(table.title))] if table.title else []
    below = [Text(_plain(table.caption))] if table.caption else []
    return Group(*above, *lines, *below)


def _plain(text: Any) -> str:
    return printable(text.plain if isinstance(text, Text) else str(text))


def print_line(console: Console, text: str) -> None:
    """Print a line as it is, also where it is wider than the terminal, so that paths can be copied."""
    console.print(printable(text), markup=False, highlight=False, emoji=False, soft_wrap=True)


def echo(text: str, err: bool = False) -> None:
    """Print a plain line, to standard error if `err`."""
    print(printable(text), file=sys.stderr if err else sys.stdout, flush=True)


def echo_answer(text: str) -> None:
    """Print a prediction: exactly as it is where a file or a program reads it, cleaned on a terminal."""
    print(printable(text) if sys.stdout.isatty() else text, flush=True)


def clean_warnings() -> None:
    """Show the names and texts that warnings quote without control characters too."""
    warnings.formatwarning = _formatted


def _formatted(*arguments: Any, **options: Any) -> str:
    return printable(_format(*arguments, **options))


_format = warnings.formatwarning
