"""A report as one page that needs nothing else: it opens from disk and asks for nothing."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from softprompt.experiments.reporting.canvas import DARK, LIGHT, Figure, Palette
from softprompt.experiments.reporting.contents import Report
from softprompt.experiments.reporting.page_parts import code, fold, listed, table_html
from softprompt.experiments.reporting.page_runs import runs_html, settings_html
from softprompt.experiments.reporting.page_said import said_html

# Said to the browser too: no request leaves the page, whatever a name or a text of the study holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(report: Report) -> str:
    """The whole page."""
    sections = [(name, title, body) for name, title, body in _sections(report) if body]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    body = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{title}</h2>\n{text}\n'
        "</section>"
        for name, title, text in sections
    )
    done = sum(run.state == "done" for run in report.result.runs)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(report.title)}</title>
<link rel="icon" href="data:,">
<style>
{_style()}</style>
</head>
<body>
<a class="skip" href="#results">Skip to the results</a>
<header>
<div class="top"><h1>{escape(report.title)}</h1><button id="theme" type="button" hidden>Dark</button></div>
<p class="muted">{done} of {report.result.n_runs} runs are done.</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
{_missing(report.gaps)}{body}
</main>
<footer class="muted"><p>Made by softprompt; this page asks for nothing from anywhere.</p></footer>
<script>
{_text("page.js")}</script>
</body>
</html>
"""


def _sections(report: Report) -> Iterable[tuple[str, str, str]]:
    first, *others = report.tables
    yield "results", "Results", table_html(first)
    figures = "\n".join(map(_figure, report.figures))
    yield "figures", "Figures", f'<div class="figures">{figures}</div>' if figures else ""
    yield "comparisons", "Comparisons", "\n".join(map(table_html, others))
    yield "outputs", "What the rows said", said_html(report.examples)
    yield "settings", "Settings", settings_html(report)
    yield "runs", "Runs", runs_html(report)
    commands = [
        f"<h3>The study</h3>{code(report.study_command)}" if report.study_command else "",
        f"<h3>This report</h3>{code(report.command)}",
    ]
    yield "again", "How it was made", "\n".join([*commands, listed(report.notes)])


def _missing(gaps: Sequence[str]) -> str:
    if not gaps:
        return ""
    lines = listed(gaps)
    if len(gaps) > 8:
        lines = fold(f"{len(gaps)} places", lines)
    return (
        '<section class="missing" id="missing" aria-labelledby="missing-title">'
        f'<h2 id="missing-title">What is missing</h2>{lines}</section>\n'
    )


def _figure(figure: Figure) -> str:
    return (
        f'<figure id="figure-{figure.name}"><h3>{escape(figure.title)}</h3>\n'
        f'<div role="img" aria-label="{escape(figure.alt)}">{figure.inline}</div>\n'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
    )


def _style() -> str:
    light, dark = _variables(LIGHT), _variables(DARK)
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ color-scheme: dark; {dark} }} }}\n"
        f':root[data-theme="light"] {{ color-scheme: light; {light} }}\n'
        f':root[data-theme="dark"] {{ color-scheme: dark; {dark} }}\n' + _text("page.css")
    )


def _variables(palette: Palette) -> str:
    return " ".join(f"--{name}: {color};" for name, color in palette.named().items())


def _text(name: str) -> str:
    return files("softprompt.experiments.reporting").joinpath(name).read_text(encoding="utf-8")
