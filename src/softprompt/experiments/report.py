"""A study's report: `study.json`, `study.csv`, `study.md` and, along an axis, `study.png`."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from softprompt.experiments.plot import draw_study
from softprompt.experiments.results import CellResult, RunResult, StudyResult
from softprompt.metrics import HIGHER_IS_BETTER, LABELS
from softprompt.training.disk import write_atomically, writing
from softprompt.training.progress import clock

Table = list[list[str]]


def write_report(result: StudyResult, command: str) -> Path:
    """Write the report into the study's folder.

    Args:
        command: the command line that makes this study.

    Returns:
        The folder.
    """
    folder = result.grid.folder
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        picture = draw_study(result, folder / "study.png")
        if not picture:
            (folder / "study.png").unlink(missing_ok=True)
        write_atomically(folder / "study.json", json.dumps(as_json(result, command), indent=1) + "\n")
        write_atomically(folder / "study.csv", as_csv(result))
        write_atomically(folder / "study.md", as_markdown(result, command, "study.png" if picture else ""))
    return folder


def table(result: StudyResult, bold: str = "**{}**", several_lines: bool = False) -> Table:
    """The study as people read it: a head, then a line per row, then one per reference.

    Args:
        bold: how the best of a column is shown.
        several_lines: whether a head may say on a second line which metric it has.
    """
    grid = result.grid
    heads = [_head(result, column, "\n" if several_lines else " ") for column in grid.columns]
    lines = [[grid.axis, *heads, "trained parameters", "stored parameters"]]
    for row in grid.rows:
        cells = [result.at(row, column) for column in grid.columns]
        shown = [
            bold.format(shown_cell(cell)) if result.is_best(cell) else shown_cell(cell) for cell in cells
        ]
        lines.append([row, *shown, *_counts(cells)])
    for cell in result.references:
        blank = [""] * (len(grid.columns) - 1)
        lines.append([f"{cell.cell.row} (reference)", shown_cell(cell), *blank, *_counts([cell])])
    return lines


def shown_cell(cell: CellResult) -> str:
    """`71.23 ± 1.20`, with what is missing; or what became of it where there is no value."""
    if cell.mean is None:
        return cell.state
    shown = f"{cell.mean:.2f}" + ("" if cell.std is None else f" ± {cell.std:.2f}")
    if cell.complete:
        return shown
    return f"{shown} ({len(cell.values)} of {len(cell.runs)}, {cell.state})"


def as_json(result: StudyResult, command: str) -> dict[str, Any]:
    """Everything that is known, as JSON values."""
    grid = result.grid
    return {
        "name": grid.settings.name,
        "command": command,
        "axis": grid.axis,
        "rows": list(grid.rows),
        "columns": list(grid.columns),
        "seeds": grid.settings.seeds,
        "seed_keys": grid.settings.seed_keys,
        "cells": [_cell_json(cell) for cell in result.cells],
        "references": [_cell_json(cell) for cell in result.references],
    }


def as_csv(result: StudyResult) -> str:
    """A line per run."""
    text = io.StringIO()
    metrics = list(dict.fromkeys(m for run in result.runs for m in run.run.settings.metrics))
    facts = ["steps", "seconds", "trained_parameters", "stored_parameters", "folder", "error"]
    head = ["row", "column", "seed", "state", "metric", "value", *(f"test_{m}" for m in metrics), *facts]
    writer = csv.DictWriter(text, head, restval="", lineterminator="\n")
    writer.writeheader()
    for cell in (*result.cells, *result.references):
        for run in cell.runs:
            line = _run_json(run)
            scores = {f"test_{m}": value for m, value in _overall(run).items()}
            kept = {key: line[key] for key in ("seed", "state", "value", *facts) if line.get(key) is not None}
            writer.writerow(
                {"row": cell.cell.row, "column": cell.cell.column, "metric": cell.cell.metric} | scores | kept
            )
    return text.getvalue()


def as_markdown(result: StudyResult, command: str, picture: str = "") -> str:
    """The table, and under it what is needed to make it again.

    Args:
        picture: file of the plot, beside this one; empty for none.
    """
    head, *lines = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in table(result)]
    parts = [f"# {result.grid.settings.name}\n"]
    parts.append(
        "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] + ["---:"] * (len(head) - 1), *lines))
    )
    if picture:
        parts.append(f"\n![{result.grid.settings.name}]({picture})")
    parts.append("")
    parts += [f"- {line}" for line in _notes(result, command)]
    if result.failed:
        parts.append("\nFailed:\n")
        parts += [f"- {run.run.label}: {' '.join(run.error.split())}" for run in result.failed]
    return "\n".join(parts) + "\n"


def _notes(result: StudyResult, command: str) -> list[str]:
    grid, done = result.grid, [run for run in result.runs if run.state == "done"]
    counted = max((len(cell.runs) for cell in (*result.cells, *result.references)), default=0)
    notes = [f"Command: `{command}`"]
    values = "mean ± sample standard deviation over the seeds" if counted > 1 else "one run each"
    notes.append(f"Test scores, {values}; the best complete cell of a column is bold")
    bases = dict.fromkeys(cell.cell.base for cell in (*result.cells, *result.references))
    notes.append(f"Recipes: {', '.join(f'`{base}`' for base in bases)}")
    if grid.settings.set:
        notes.append("For all: " + ", ".join(f"`{key}={value}`" for key, value in grid.settings.set.items()))
    seeds = dict.fromkeys(str(run.run.seed) for run in result.runs)
    notes.append(f"Seeds: {', '.join(seeds)} ({', '.join(grid.settings.seed_keys)})")
    if len(done) < len(result.runs):
        notes.append(f"Runs: {len(done)} of {len(result.runs)} are done")
    if done:
        seconds = sum(run.facts["seconds"]["training"] for run in done)
        notes.append(f"Training time of all runs together: {clock(seconds)}")
        notes.append(f"Hardware: {'; '.join(dict.fromkeys(run.facts['hardware'] for run in done))}")
        packages = dict.fromkeys(_versions(run) for run in done)
        notes.append(f"Versions: {'; '.join(packages)}")
    return notes


def _versions(run: RunResult) -> str:
    return ", ".join(f"{name} {version}" for name, version in run.facts["versions"].items())


def _head(result: StudyResult, column: str, between: str) -> str:
    """A column's name and its metric, e.g. `RTE accuracy`."""
    metric = next(cell.cell.metric for cell in result.column(column))
    label = LABELS[metric] + ("" if HIGHER_IS_BETTER[metric] else " (lower is better)")
    return f"{column}{between}{label}" if column else label


def _counts(cells: Sequence[CellResult]) -> list[str]:
    shown = []
    for name in ("trained_parameters", "stored_parameters"):
        found = sorted({n for cell in cells for n in cell.count(name)})
        ends = dict.fromkeys((found[0], found[-1])) if found else ()
        shown.append("–".join(f"{n:,}" for n in ends) or "-")
    return shown


def _cell_json(cell: CellResult) -> dict[str, Any]:
    return {
        "row": cell.cell.row,
        "column": cell.cell.column,
        "base": cell.cell.base,
        "changes": dict(cell.cell.changes),
        "metric": cell.cell.metric,
        "higher_is_better": HIGHER_IS_BETTER[cell.cell.metric],
        "mean": cell.mean,
        "std": cell.std,
        "n": len(cell.values),
        "runs": [_run_json(run) for run in cell.runs],
    }


def _run_json(run: RunResult) -> dict[str, Any]:
    facts = run.facts
    found = {
        "seed": run.run.seed,
        "folder": run.run.settings.name,
        "state": run.state,
        "value": run.value,
    }
    if run.state == "failed":
        found["error"] = run.error
    if run.state == "done":
        found |= {
            "scores": facts["scores"],
            "best": facts["best"],
            "steps": facts["steps"],
            "seconds": facts["seconds"]["training"],
            "trained_parameters": facts["counts"]["trained_parameters"],
            "stored_parameters": facts["counts"]["stored_parameters"],
            "versions": facts["versions"],
            "hardware": facts["hardware"],
        }
    return found


def _overall(run: RunResult) -> dict[str, float]:
    groups = run.facts.get("scores", [])
    return next((dict(group["values"]) for group in groups if group["group"] == "all"), {})
