"""What the rows said, as part of a page."""

from collections.abc import Sequence
from html import escape

from softprompt.experiments.reporting.examples import Example, Examples, Said
from softprompt.experiments.reporting.page_parts import listed


def said_html(found: Sequence[Examples]) -> str:
    """For each column its examples: the source, what is wanted, and what the rows said.

    Texts stand side by side, an answer beside the rows that gave it.
    """
    return "\n".join(map(_column, found))


def _column(one: Examples) -> str:
    head = f"<h3>{escape(one.column)}</h3>" if one.column else ""
    lacking = listed([f"Left out, {line}" for line in one.lacking])
    shown = "\n".join(_example(example, one.answers) for example in one.examples)
    return f'{head}<p class="muted">{escape(one.what)}.</p>{lacking}{shown}'


def _example(example: Example, answers: bool) -> str:
    said = _answers(example) if answers else _texts(example)
    return (
        f'<div class="example"><h4>{escape(example.id)}</h4><p class="source">{escape(example.source)}</p>'
        f"{said}</div>"
    )


def _texts(example: Example) -> str:
    wanted = "".join(f"<dd>{_shown(text)}</dd>" for text in example.references)
    name = "reference" if len(example.references) == 1 else "references"
    gold = f'<div class="gold"><dt>{name}</dt>{wanted}</div>' if wanted else ""
    said = "".join(
        f"<div><dt>{escape(one.row)}</dt><dd>{_shown(one.text)}</dd></div>" for one in example.said
    )
    return f'<dl class="said">{gold}{said}</dl>'


def _answers(example: Example) -> str:
    """Each answer with its rows, the right ones first; a right one that no row gave is shown too."""
    given: dict[str, list[Said]] = {}
    for one in sorted(example.said, key=lambda one: not one.right):
        given.setdefault(one.text, []).append(one)
    lines = []
    if not any(text in given for text in example.references):
        lines += [_answer(text, True, "no row") for text in example.references[:1]]
    for text, some in given.items():
        lines.append(_answer(text, some[0].right, ", ".join(one.row for one in some)))
    return f'<dl class="answers">{"".join(lines)}</dl>'


def _answer(text: str, right: bool | None, rows: str) -> str:
    look, spoken = {True: ("right", "right: "), False: ("wrong", "wrong: "), None: ("", "")}[right]
    mark = f'<span class="hidden-text">{spoken}</span>' if spoken else ""
    of = f' class="{look}"' if look else ""
    return f"<div><dt{of}>{mark}{_shown(text)}</dt><dd>{escape(rows)}</dd></div>"


def _shown(text: str) -> str:
    return escape(text) or "(nothing)"
