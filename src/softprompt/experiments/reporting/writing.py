"""A report's files."""

from pathlib import Path

from softprompt.experiments.reporting import latex, markdown
from softprompt.experiments.reporting.contents import Report
from softprompt.experiments.reporting.page import page
from softprompt.training import write_atomically, write_synced, writing


def write(report: Report, folder: Path) -> list[Path]:
    """Write every form of a report; files of an earlier one are replaced, nothing else is touched.

    Returns:
        The files that a reader opens first.
    """
    texts = {
        "report.md": as_markdown(report),
        "report.html": page(report),
        "report.tex": latex.document(report.title, report.tables),
        **{f"tables/{table.name}.tex": latex.table_environment(table) for table in report.tables},
    }
    for figure in report.figures:
        texts[f"figures/{figure.name}.svg"] = figure.svg
        texts[f"figures/{figure.name}-dark.svg"] = figure.dark
    with writing(folder):
        for part in (folder, folder / "tables", folder / "figures"):
            part.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomically(folder / name, text)
        for figure in report.figures:
            write_synced(folder / "figures" / f"{figure.name}.png", figure.png)
    return [folder / "report.html", folder / "report.md", folder / "report.tex"]


def as_markdown(report: Report) -> str:
    """The report as one text."""
    lines = [f"# {report.title}", ""]
    if report.gaps:
        lines += markdown.section("What is missing", markdown.bullets(report.gaps))
    for table in report.tables:
        title = "Results" if table.name == "results" else table.caption
        body = [*markdown.table_lines(table), "", *markdown.bullets(table.notes)]
        lines += markdown.section(title, body)
    for figure in report.figures:
        picture = markdown.picture(
            f"figures/{figure.name}.svg", f"figures/{figure.name}-dark.svg", figure.alt
        )
        lines += markdown.section(figure.title, [picture, "", figure.caption][: 3 if figure.caption else 1])
    commands = [f"Study: `{report.study_command}`", f"Report: `{report.command}`"]
    lines += markdown.section("How it was made", markdown.bullets([*commands, *report.notes]))
    return "\n".join(lines).rstrip("\n") + "\n"
