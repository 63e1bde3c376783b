"""What the rows said, as part of a page."""

from collections.abc import Sequence
from html import escape

from softprompt.experiments.reporting.examples import Example, Examples, Said
from softprompt.experiments.reporting.page_parts import listed


def said_html(found: Sequence[Examples]) -> str:
    """For each column its examples: the source, what is wanted, and what each row said, side by side."""
    return "\n".join(map(_column, found))


def _column(one: Examples) -> str:
    head = f"<h3>{escape(one.column)}</h3>" if one.column else ""
    lacking = listed([f"Left out, {line}" for line in one.lacking])
    texts = "\n".join(map(_example, one.examples))
    return f'{head}<p class="muted">{escape(one.what)}.</p>{lacking}{texts}'


def _example(example: Example) -> str:
    wanted = "".join(f"<dd>{escape(text) or '(nothing)'}</dd>" for text in example.references)
    gold = f'<div class="gold"><dt>{_wanted(example)}</dt>{wanted}</div>' if wanted else ""
    said = "".join(map(_said, example.said))
    return (
        f'<div class="example"><h4>{escape(example.id)}</h4><p class="source">{escape(example.source)}</p>'
        f'<dl class="said">{gold}{said}</dl></div>'
    )


def _wanted(example: Example) -> str:
    judged = any(said.right is not None for said in example.said)
    if judged:
        return "right"
    return "reference" if len(example.references) == 1 else "references"


def _said(said: Said) -> str:
    judged = {True: ("right", "right: "), False: ("wrong", "wrong: "), None: ("", "")}[said.right]
    look = f' class="{judged[0]}"' if judged[0] else ""
    spoken = f'<span class="hidden-text">{judged[1]}</span>' if judged[1] else ""
    return f"<div><dt>{escape(said.row)}</dt><dd{look}>{spoken}{escape(said.text) or '(nothing)'}</dd></div>"
