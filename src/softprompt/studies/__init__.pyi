from .commands import command_line
from .comparisons.runs import (
    DEVELOPMENT,
    check_alike,
    comparison_json,
    comparison_markdown,
    means_table,
    pairs_table,
    read_compared_run,
)
from .definition.paper_protocols import Protocol, all_papers, chosen_protocols, paper
from .looking import (
    NEIGHBOURS,
    View,
    balanced_pictures,
    embed_features,
    neighbours_alike,
    spread_over,
    view_pictures,
)
from .reading.grid import load_grid
from .report import (
    compose_report,
    is_run,
    read_source,
    results_table,
    write_numbers,
    write_report,
    write_run_page,
    write_summary,
)
from .results.study_result import StudyResult, read_results
from .running.checking import check_runs
from .running.runner import run_study

__all__ = [
    "DEVELOPMENT",
    "NEIGHBOURS",
    "Protocol",
    "StudyResult",
    "View",
    "all_papers",
    "balanced_pictures",
    "check_alike",
    "check_runs",
    "chosen_protocols",
    "command_line",
    "comparison_json",
    "comparison_markdown",
    "compose_report",
    "embed_features",
    "is_run",
    "load_grid",
    "means_table",
    "neighbours_alike",
    "pairs_table",
    "paper",
    "read_compared_run",
    "read_results",
    "read_source",
    "results_table",
    "run_study",
    "spread_over",
    "view_pictures",
    "write_numbers",
    "write_report",
    "write_run_page",
    "write_summary",
]
