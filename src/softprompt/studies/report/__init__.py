"""The report of a study: tables, figures, one page, and outputs of the methods."""

from softprompt.extras import require

require("studies", "a study's report")

from softprompt.studies.report.compose import Report, compose_report, summarize
from softprompt.studies.report.one_run import is_run, run_page, write_run_page
from softprompt.studies.report.render import (
    markdown,
    page,
    write_numbers,
    write_report,
    write_summary,
)
from softprompt.studies.report.source import Source, read_source
from softprompt.studies.report.tables import results_table, shown_cell

__all__ = [
    "Report",
    "Source",
    "compose_report",
    "is_run",
    "markdown",
    "page",
    "read_source",
    "results_table",
    "run_page",
    "shown_cell",
    "summarize",
    "write_numbers",
    "write_report",
    "write_run_page",
    "write_summary",
]
