"""The files of a report, from templates and figures."""

from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from softprompt.errors import printable
from softprompt.files import json_text, without_folders, write_atomically, writing
from softprompt.markdown import code, plain, table_lines
from softprompt.plotting import DARK, LIGHT
from softprompt.studies.report import runs
from softprompt.studies.report.compose import Report, one_line, summarize
from softprompt.studies.report.tables import Table
from softprompt.studies.results.study_result import StudyResult
from softprompt.studies.storage.exports import as_json, passed_on
from softprompt.studies.storage.stored import PLAN
from softprompt.studies.storage.table import settings_of, write_table

_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$", "–": "--", "—": "---",
    "−": r"$-$", "×": r"$\times$", "→": r"$\rightarrow$", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\ldots{}",
    "·": r"$\cdot$", "\n": " ",
})  # fmt: skip
_LATEX_SIGNS: dict[str, Any] = {
    "block_start_string": "<%", "block_end_string": "%>",
    "variable_start_string": "<<", "variable_end_string": ">>",
}  # fmt: skip


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write a report in every format; files of an earlier report are replaced, others stay.

    Returns:
        The files that a reader opens first.
    """
    files: dict[str, str | bytes] = {
        "report.md": markdown(report),
        "report.html": page(report),
        "report.tex": _filled("report.tex.j2", report=report),
        **{f"tables/{table.name}.tex": latex(table) for table in report.tables},
    }
    for name, figure in report.figures.items():
        files[f"figures/{name}.svg"] = figure.light
        files[f"figures/{name}-dark.svg"] = figure.dark
        files[f"figures/{name}.png"] = figure.png
    with writing(folder):
        for part in (folder / "tables", folder / "figures"):
            part.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(folder / name, content)
    return [folder / "report.html", folder / "report.md", folder / "report.tex"]


def write_summary(result: StudyResult, command: str) -> Path:
    """Write `study.json`, `.csv`, `.parquet`, `.md` and, along an axis, `study.png` into the study's folder.

    Args:
        command: the command line that makes this study.

    Returns:
        The folder.
    """
    folder, report = result.grid.folder, summarize(result, command)
    write_numbers(result, command)
    write_table(result)
    with writing(folder):
        for figure in report.figures.values():
            write_atomically(folder / "study.png", figure.png)
        if not report.figures:
            (folder / "study.png").unlink(missing_ok=True)
        write_atomically(folder / "study.md", markdown(report))
    return folder


def write_numbers(result: StudyResult, command: str) -> None:
    """Write `study.json` alone, with the results so far.

    Where paths of this machine are left out of it, `plan.json` beside it keeps them for later reports.
    """
    folder, facts = result.grid.folder, as_json(result, command)
    given = passed_on(facts)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if given == facts:
            (folder / PLAN).unlink(missing_ok=True)
        else:
            exact = {"plan": facts["plan"], "command": command, "cells": []}
            write_atomically(folder / PLAN, json_text(exact))
        write_atomically(folder / "study.json", json_text(given))


def page(report: Report) -> str:
    """The report as one page of HTML that needs no other file."""
    shared = without_folders(runs.shared_settings(report.result))
    return _filled("report.html.j2", report=report, shared=shared, light=LIGHT, dark=DARK)


def markdown(report: Report) -> str:
    """The report as Markdown."""
    return _filled("study.md.j2" if report.command is None else "report.md.j2", report=report)


def latex(table: Table) -> str:
    """A `table` environment for `\\input`, in booktabs' form."""
    return _filled("table.tex.j2", table=table)


def in_latex(text: str) -> str:
    """The text with an escape for every sign that is a command in LaTeX."""
    shown = printable(" ".join(text.splitlines())).translate(_LATEX)
    # At the start of a line of a table these would belong to the line break before.
    return f"{{}}{shown}" if shown.startswith(("[", "*")) else shown


def _filled(template: str, **values: Any) -> str:
    return environment(template.endswith(".tex.j2")).get_template(template).render(**values)


@cache
def environment(latex: bool = False) -> Environment:
    """The templates, of which those for HTML escape their values.

    Args:
        latex: whether the templates use `<%` and `<<`, since braces and per cents are LaTeX's own.
    """
    signs = _LATEX_SIGNS if latex else {}
    made = Environment(
        loader=PackageLoader("softprompt.studies.report"), undefined=StrictUndefined,
        autoescape=select_autoescape(["html.j2"]), trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, **signs,
    )  # fmt: skip
    made.filters |= {
        "code": code,
        "base64": lambda text: b64encode(text.encode()).decode(),
        "facts": runs.run_facts,
        "latex": in_latex,
        "one_line": one_line,
        "plain": plain,
        "passed_on": without_folders,
        "settings": lambda run: without_folders(settings_of(run)),
        "table": lambda table: "\n".join(table_lines(table.texts("**{}**"))),
        "yaml": runs.in_yaml,
    }
    made.globals |= {
        "cell_summary": runs.cell_summary,
        "repeating": lambda *run: without_folders(runs.repeating(*run)),
    }
    return made
