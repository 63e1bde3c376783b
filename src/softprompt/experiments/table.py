"""A study's results as one table for other programs: `results.csv` and `results.parquet`.

Long form: a line for each run, group of test records and metric; a run without scores has one line.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from softprompt.experiments.cells import Cell
from softprompt.experiments.results import RunResult, StudyResult
from softprompt.metrics import HIGHER_IS_BETTER
from softprompt.training.disk import write_atomically, writing
from softprompt.training.folder import flat

_WHERE = {"name", "output"}
"""Settings that say where a run lies; its folder is a column of its own."""


def write_table(result: StudyResult) -> str:
    """Write the table into the study's folder.

    Returns:
        What to install for the Parquet file, where pyarrow is missing; else an empty text.
    """
    folder, lines = result.grid.folder, table_lines(result)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "results.csv", _as_csv(lines))
    parquet = folder / "results.parquet"
    if find_spec("pyarrow") is None:
        parquet.unlink(missing_ok=True)  # it would be of an earlier state
        return 'results.parquet is left out: pip install "softprompt[studies]" for pyarrow, which writes it'
    _write_parquet(lines, parquet)
    return ""


def table_lines(result: StudyResult) -> list[dict[str, Any]]:
    """Every line, all with the same keys in the same order; what is not known is None."""
    found = []
    for cell in result.all_cells:
        kind = "reference" if cell.cell in result.grid.references else "cell"
        for option, runs in zip(cell.cell.options, cell.folds, strict=True):
            found += [line for run in runs for line in _of_run(result, cell.cell, run, "fold", option.name)]
        found += [
            line for run in cell.runs for line in _of_run(result, cell.cell, run, kind, cell.cell.chosen)
        ]
    keys = list(dict.fromkeys(key for line in found for key in line))
    keys.sort(key=lambda key: key.startswith("settings."))  # a stable sort: the settings stand last
    return [{key: line.get(key) for key in keys} for line in found]


def _of_run(
    result: StudyResult, cell: Cell, run: RunResult, kind: str, candidate: str
) -> Iterator[dict[str, Any]]:
    settings, facts = run.run.settings, run.facts
    line: dict[str, Any] = {
        "study": result.grid.settings.name,
        "row": cell.row,
        "column": cell.column or None,
        "kind": kind,
        "candidate": candidate or None,
        "seed": run.run.seed,
        "subsample": settings.data.subsample,
        "run": settings.name,
        "state": run.state,
        "error": run.error or None,
        "group": None,
        "metric": None,
        "value": None,
        "higher_is_better": None,
    }
    about: dict[str, Any] = {
        "steps": facts.get("steps"),
        "best_step": facts.get("best", {}).get("step"),
        "training_seconds": facts.get("seconds", {}).get("training"),
        **{key: facts.get("counts", {}).get(key) for key in ("trained_parameters", "stored_parameters")},
        "train_records": facts.get("counts", {}).get("train_pairs"),
        "test_records": facts.get("counts", {}).get("test_records"),
        "data_fingerprint": facts.get("data_fingerprint"),
        "hardware": facts.get("hardware"),
        **{f"version.{name}": version for name, version in facts.get("versions", {}).items()},
        **{f"settings.{key}": _plain(value) for key, value in flat(settings).items() if key not in _WHERE},
    }
    for score in _scores(run, kind):
        yield {**line, **score, **about}


def _scores(run: RunResult, kind: str) -> list[dict[str, Any]]:
    """Each value with its group and metric; of a run on a fold, what it is chosen by."""
    if run.state != "done":
        return [{}]
    if kind == "fold":
        return [_score("development", run.run.settings.training.select, run.value)]
    groups = run.facts["scores"]
    return [
        _score(group["group"], name, value) for group in groups for name, value in group["values"].items()
    ]


def _score(group: str, metric: str, value: float | None) -> dict[str, Any]:
    better = metric != "loss" and HIGHER_IS_BETTER[metric]
    return {
        "group": group,
        "metric": metric,
        "value": None if value is None else float(value),
        "higher_is_better": better,
    }


def _plain(value: Any) -> Any:
    """A value that one field of a table takes; lists and mappings as JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _as_csv(lines: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else [], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _write_parquet(lines: list[dict[str, Any]], path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {key: _of_one_kind([line[key] for line in lines]) for key in (lines[0] if lines else {})}
    temporary = path.with_name(f".{path.name}.writing")
    with writing(path.parent):
        parquet.write_table(pyarrow.table(_typed(columns)), temporary)
        temporary.replace(path)


def _of_one_kind(values: list[Any]) -> list[Any]:
    """The values as one type: whole numbers beside fractions become fractions, anything else mixed text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return values
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else str(value) for value in values]


def _typed(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Arrays; a column without any value is one of text, since Parquet's null type is read by few."""
    import pyarrow

    return {
        key: pyarrow.array(values, pyarrow.string() if all(v is None for v in values) else None)
        for key, values in columns.items()
    }
