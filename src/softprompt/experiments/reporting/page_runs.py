"""The settings of every run, and the command that repeats it."""

from collections.abc import Mapping
from html import escape
from typing import Any

from softprompt.experiments.measures import label, scores_of
from softprompt.experiments.numbers import cut, mean_and_std
from softprompt.experiments.reporting.commands import in_yaml, repeating
from softprompt.experiments.reporting.contents import Report
from softprompt.experiments.reporting.page_parts import code, fold, scrolling
from softprompt.experiments.results import CellResult, RunResult, StudyResult
from softprompt.training import clock, flat

_OF_THE_PLACE = ("name", "output")


def settings_html(report: Report) -> str:
    """What all runs have in common."""
    shared = _shared(report.result)
    if not shared:
        return ""
    what = "Settings that all runs share, as the study gives them"
    return fold(f"{what} ({len(shared)})", _settings_table(shared, what))


def runs_html(report: Report) -> str:
    """A fold for each cell: its runs with state, scores, own settings and command."""
    shared = _shared(report.result)
    cells = "\n".join(_cell(report, cell, shared) for cell in report.result.all_cells if cell.runs)
    return f'<div class="folds">{cells}</div>' if cells else ""


def _cell(report: Report, cell: CellResult, shared: Mapping[str, Any]) -> str:
    name = ", ".join(filter(None, (cell.cell.row, cell.cell.column)))
    if cell in report.result.references:
        name += " (reference)"
    chosen = f", chose {cell.cell.chosen}" if cell.cell.chosen else ""
    done = sum(run.state == "done" for run in cell.runs)
    runs = "\n".join(_run(report, cell, run, shared) for run in cell.runs)
    shown = f", {mean_and_std(cell.values, cell.cell.metric)}" if cell.values else ""
    return fold(f"{name}: {done} of {cell.cell.n_runs} runs{shown}{chosen}", runs)


def _run(report: Report, cell: CellResult, run: RunResult, shared: Mapping[str, Any]) -> str:
    own = {
        key: value
        for key, value in flat(run.run.settings).items()
        if key not in _OF_THE_PLACE and (key not in shared or shared[key] != value)
    }
    facts = [f"{label(measure)} {cut(value, measure)}" for measure, value in scores_of(run.facts).items()]
    if run.state == "done":
        facts.append(f"{run.facts['steps']:,} steps in {clock(run.facts['seconds']['training'])}")
    shown = f"<p>{escape('; '.join(facts))}</p>" if facts else ""
    error = f"<p>{escape(run.error)}</p>" if run.error else ""
    where = f'<p class="muted">Folder: {escape(run.run.settings.name)}</p>'
    return (
        f"<h3>Seed {run.run.seed}: {run.state}</h3>{shown}{error}{where}"
        f"{code(repeating(report.result.grid, cell.cell, run.run))}"
        f"{_settings_table(own, f'Own settings of {run.run.label}')}"
    )


def _settings_table(settings: Mapping[str, Any], title: str) -> str:
    rows = "".join(
        f'<tr><th scope="row" class="text"><code>{escape(key)}</code></th>'
        f'<td class="text"><code>{escape(in_yaml(value))}</code></td></tr>'
        for key, value in settings.items()
    )
    names = "".join(f'<th scope="col" class="text">{name}</th>' for name in ("setting", "value"))
    head = f"<thead><tr>{names}</tr></thead>"
    caption = f'<caption class="hidden-text">{escape(title)}</caption>'
    return scrolling(f"<table>{caption}{head}<tbody>{rows}</tbody></table>", title)


def _shared(result: StudyResult) -> dict[str, Any]:
    """The settings in which all runs of the table agree."""
    of_runs = [flat(run.run.settings) for cell in result.all_cells for run in cell.runs]
    if not of_runs:
        return {}
    first, *others = of_runs
    return {
        key: value
        for key, value in first.items()
        if key not in _OF_THE_PLACE and all(key in one and one[key] == value for one in others)
    }
