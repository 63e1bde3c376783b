"""Tables as LaTeX, in booktabs' form."""

from itertools import groupby

from softprompt.experiments.reporting.tables import Entry, Table

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$", "–": "--", "—": "---",
    "−": r"$-$", "×": r"$\times$", "→": r"$\rightarrow$", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\ldots{}",
    "·": r"$\cdot$", "\n": " ",
}  # fmt: skip

_WIDE = 7
"""From so many columns on a table is scaled to the text's width."""

_DOCUMENT = r"""% Made by `softprompt report`. Compiles as it stands, with tables/ beside it.
\documentclass[10pt]{article}
\usepackage{iftex}
\ifPDFTeX\usepackage[T1]{fontenc}\usepackage{textcomp}\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}\fi
\usepackage[margin=2.5cm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
\section*{TITLE}
INPUTS
\end{document}
"""


def document(title: str, tables: tuple[Table, ...]) -> str:
    """A whole document that takes in every table's file from `tables/`."""
    inputs = "\n".join(rf"\input{{tables/{table.name}}}" for table in tables)
    return _DOCUMENT.replace("TITLE", escaped(title)).replace("INPUTS", inputs)


def table_environment(table: Table) -> str:
    """A `table` environment for `\\input`; it needs booktabs and, where it is wide, graphicx."""
    n = len(table.head)
    lines = [rf"\begin{{tabular}}{{l{'r' * (n - 1)}}}", r"\toprule", *_head(table), r"\midrule"]
    lines += [rf"{' & '.join(map(_entry, line))} \\" for line in table.lines]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if n >= _WIDE:
        lines = [r"\resizebox{\textwidth}{!}{%", *lines, "}"]
    notes = "".join(f" {escaped(note.rstrip('.'))}." for note in table.notes)
    caption = rf"\caption{{{escaped(table.caption)}.{notes}}}"
    begin = [r"\begin{table}[htbp]", r"\centering", r"\small", caption, rf"\label{{tab:{table.name}}}"]
    needs = r"% needs \usepackage{booktabs,graphicx}"
    return "\n".join([needs, *begin, *lines, r"\end{table}", ""])


def escaped(text: str) -> str:
    """The text with everything that LaTeX would take for a command written as itself."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _head(table: Table) -> list[str]:
    """The names of groups with a rule under each, where there are any, and the heads."""
    heads = rf"{' & '.join(escaped(head.text) for head in table.head)} \\"
    if not any(head.group for head in table.head):
        return [heads]
    groups, rules, at = [], [], 1
    for group, members in groupby(table.head, key=lambda head: head.group):
        n = len(list(members))
        if not group:
            groups += [""] * n
        else:
            groups.append(rf"\multicolumn{{{n}}}{{c}}{{{escaped(group)}}}")
            rules.append(rf"\cmidrule(lr){{{at}-{at + n - 1}}}")
        at += n
    return [rf"{' & '.join(groups)} \\", " ".join(rules), heads]


def _entry(entry: Entry) -> str:
    text = escaped(entry.text)
    if entry.best:
        # A bold series has no effect in mathematics.
        bold = text.replace(_SPECIAL["±"], r"$\mathbf{\pm}$")
        return rf"\textbf{{{bold}}}"
    return text
