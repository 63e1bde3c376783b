"""The small pieces of a page."""

from collections.abc import Sequence
from html import escape
from itertools import groupby

from softprompt.experiments.reporting.tables import Entry, Table


def listed(lines: Sequence[str]) -> str:
    """A list; words between backticks are code."""
    return f"<ul>{''.join(f'<li>{_with_code(line)}</li>' for line in lines)}</ul>" if lines else ""


def code(text: str) -> str:
    """A command, which may be long."""
    return f"<pre><code>{escape(text)}</code></pre>"


def fold(summary: str, body: str) -> str:
    """Something that opens on request.

    Args:
        summary: plain text.
        body: HTML.
    """
    return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>"


def scrolling(table: str, name: str) -> str:
    """A table that moves sideways in itself where it is wider than the page; the keyboard reaches it."""
    return f'<div class="scroll" role="region" aria-label="{escape(name)}" tabindex="0">{table}</div>'


def table_html(table: Table) -> str:
    """A table with its heads, names of rows, and notes."""
    # The page's own heading says it for the first table.
    title, look = (table.caption, "") if table.name != "results" else ("Results", ' class="hidden-text"')
    rows = "\n".join(f"<tr>{_row(line)}</tr>" for line in table.lines)
    head, caption = f"<thead>{_head(table)}</thead>", f"<caption{look}>{escape(title)}</caption>"
    whole = f"<table>{caption}\n{head}\n<tbody>\n{rows}\n</tbody></table>"
    return f"{scrolling(whole, title)}\n{listed(table.notes)}"


def _head(table: Table) -> str:
    heads = "".join(f'<th scope="col">{escape(head.text)}</th>' for head in table.head)
    if not any(head.group for head in table.head):
        return f"<tr>{heads}</tr>"
    groups = []
    for group, members in groupby(table.head, key=lambda head: head.group):
        n = len(list(members))
        if group:
            groups.append(f'<th scope="colgroup" colspan="{n}" class="group">{escape(group)}</th>')
        else:
            groups += ["<td></td>"] * n
    return f"<tr>{''.join(groups)}</tr><tr>{heads}</tr>"


def _row(line: Sequence[Entry]) -> str:
    name, *entries = line
    cells = [f'<th scope="row">{escape(name.text)}</th>']
    for entry in entries:
        text = f"<strong>{escape(entry.text)}</strong>" if entry.best else escape(entry.text)
        cells.append(f'<td class="published">{text}</td>' if entry.published else f"<td>{text}</td>")
    return "".join(cells)


def _with_code(text: str) -> str:
    plain, *others = escape(text).split("`")
    if len(others) % 2:
        return escape(text)
    pairs = zip(others[::2], others[1::2], strict=True)
    return plain + "".join(f"<code>{inner}</code>{after}" for inner, after in pairs)
