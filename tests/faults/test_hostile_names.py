"""Names and texts of a study are text in its reports: no script, picture, broken table or command."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from softprompt.markdown import code, escaped, plain
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.report.compose import compose_report
from softprompt.studies.report.render import in_latex, write_report, write_summary
from softprompt.studies.report.source import read_source
from softprompt.studies.results.folders import write_failure
from softprompt.studies.results.study_result import read_results
from studies.fakes import finish, write_study

NAMES = [
    "<script>alert(1)</script> a",
    '"><img src=http://x.example/b onerror=alert(1)>',
    "'onmouseover='alert(1) c",
    r"\input{/etc/passwd}\write18{id} d",
    "[x](javascript:alert(1))|`e",
    "![x](http://x.example/f)",
    "]]></style></svg><script>g",
    "one | two\nthree\r| four | h",
    r"$\undefined{x$ i",
    "[5pt] j",
    "*k",
    "{{ 7*7 }} <% l",
    "\x1b[2J\u202e m",
    "`a` ``b`` <b>n</b>",
]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    rows = [{"name": name, "set": {"method.length": i + 1}} for i, name in enumerate(NAMES)]
    columns = [{"name": name, "set": {"training.steps": i + 1}} for i, name in enumerate(NAMES[:3])]
    published = [{"row": NAMES[0], "column": NAMES[1], "value": 1.0, "source": NAMES[5], "sure": "P"}]
    path = write_study(folder, rows=rows, columns=columns, seeds=[0, 1], published=published, paired=True)
    grid = load_grid(path)
    first, *others = grid.runs
    for i, run in enumerate(others):
        finish(run.settings, {"bleu": 10.0 + i, "ter": 1.0}, notes=NAMES[:2])
    write_failure(grid, first, "\n".join(NAMES), "")
    made = write_summary(read_results(grid), f"softprompt study {NAMES[4]} {NAMES[13]}")
    report = compose_report(read_source(made), f"softprompt report {NAMES[0]} {NAMES[4]} {NAMES[13]}")
    write_report(report, made / "report")
    return made


class Page(HTMLParser):
    """What a page has that acts or asks."""

    def __init__(self):
        super().__init__()
        self.scripts, self.wrong = 0, []

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        for name, value in attrs:
            asks = name in ("src", "href", "srcset") and not (value or "").startswith(("data:", "#"))
            if name.startswith("on") or ("javascript:" in (value or "") and name in ("src", "href")) or asks:
                self.wrong.append((tag, name, value))


def test_the_page_holds_texts_alone(study):
    text = (study / "report" / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.scripts == 1 and page.wrong == []
    assert "alert(1)" in text and "{{ 7*7 }}" in text


def test_figures_hold_no_script(study):
    figures = list((study / "report" / "figures").glob("*.svg"))
    assert figures
    for figure in figures:
        page = Page()
        page.feed(figure.read_text(encoding="utf-8"))
        assert page.scripts == 0 and not any(name.startswith("on") for _, name, _ in page.wrong)


@pytest.mark.parametrize("name", ["study.md", "report/report.md"])
def test_markdown_tables_and_lines_are_whole(study, name):
    text = (study / name).read_text(encoding="utf-8")
    assert "\x1b" not in text and "\u202e" not in text
    outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    outside = re.sub(r"<picture>.*?</picture>", "", outside)
    assert not re.search(r"<[A-Za-z/!?]", outside)
    assert "](javascript" not in outside and "](http" not in outside
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert tables
    for table in tables:
        lines = table.splitlines()
        assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines}) == 1, table
        assert all(line.startswith("| ") and line.endswith(" |") for line in lines)


def test_latex_has_no_command_of_a_name(study):
    for file in (*(study / "report" / "tables").glob("*.tex"), study / "report" / "report.tex"):
        text = file.read_text(encoding="utf-8")
        assert r"\input{/etc" not in text and r"\write18" not in text and r"\undefined" not in text
        assert not re.search(r"\\\\\s*[\[*]", text)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_latex_compiles(study):
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    subprocess.run(command, cwd=study / "report", check=True, capture_output=True, timeout=120)


def test_pieces():
    assert escaped("a|b\\|c\nd\re\u2028f") == r"a\|b\\\|c d e f"
    assert plain("<b> `x<b>` a < b") == "&lt;b> `x<b>` a < b"
    assert plain("`<b>") == r"\`&lt;b>" and plain("[a](b)") == r"[a]\(b)"
    assert code("a`b``c") == "``` a`b``c ```" and code("a") == "`a`"
    assert in_latex("[5pt]") == "{}[5pt]" and in_latex("a\n\n\x1bb") == r"a  \textbackslash{}x1bb"
