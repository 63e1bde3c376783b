"""A report's files."""

from pathlib import Path

from softprompt.experiments.reporting import latex, markdown
from softprompt.experiments.reporting.contents import Report
from softprompt.training.disk import write_atomically, writing


def write(report: Report, folder: Path) -> list[Path]:
    """Write every form of a report; files of an earlier one are replaced, nothing else is touched.

    Returns:
        The files that a reader opens first.
    """
    texts = {
        "report.md": as_markdown(report),
        "report.tex": latex.document(report.title, report.tables),
        **{f"tables/{table.name}.tex": latex.table_environment(table) for table in report.tables},
    }
    with writing(folder):
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
    return [folder / "report.md", folder / "report.tex"]


def as_markdown(report: Report) -> str:
    """The report as one text."""
    lines = [f"# {report.title}", ""]
    if report.gaps:
        lines += markdown.section("What is missing", markdown.bullets(report.gaps))
    for table in report.tables:
        title = "Results" if table.name == "results" else table.caption
        body = [*markdown.table_lines(table), "", *markdown.bullets(table.notes)]
        lines += markdown.section(title, body)
    commands = [f"Study: `{report.study_command}`", f"Report: `{report.command}`"]
    lines += markdown.section("How it was made", markdown.bullets([*commands, *report.notes]))
    return "\n".join(lines).rstrip("\n") + "\n"
