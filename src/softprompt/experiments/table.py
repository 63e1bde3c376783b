"""A study's results as one table for other programs: `study.csv` and `study.parquet`, a line per run."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.experiments.results import CellResult, RunResult, StudyResult
from softprompt.training import flat, write_atomically, writing

_ALWAYS = ("row", "column", "folder", "state", "metric", "value")
"""Columns also of a study whose cells have chosen nothing yet, and so have no runs."""

_WHERE = {"name", "output"}
"""Settings that say where a run lies; its folder is a column of its own."""


def write_table(result: StudyResult) -> None:
    """Write both files into the study's folder."""
    import pyarrow
    from pyarrow import parquet

    folder, lines = result.grid.folder, table_lines(result)
    keys = list(lines[0]) if lines else list(_ALWAYS)
    columns = {key: _of_one_kind([line[key] for line in lines]) for key in keys}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(_typed(columns)), buffer)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "study.csv", _as_csv(keys, lines))
        write_atomically(folder / "study.parquet", buffer.getvalue())


def table_lines(result: StudyResult) -> list[dict[str, Any]]:
    """Every run that is tested, all with the same keys in the same order; what is not known is None."""
    found = [
        _of_run(cell, run, kind)
        for kind, cells in (("cell", result.cells), ("reference", result.references))
        for cell in cells
        for run in cell.runs
    ]
    keys = list(dict.fromkeys(key for line in found for key in line))
    # a stable sort: scores stand before facts, and the settings last
    keys.sort(key=lambda key: key.startswith("settings."))
    return [{key: line.get(key) for key in keys} for line in found]


def _of_run(cell: CellResult, run: RunResult, kind: str) -> dict[str, Any]:
    settings, facts = run.run.settings, run.facts
    scores = {f"test_{name}": None for name in settings.metrics}
    for group in facts.get("scores", []):
        at = "" if group["group"] == "all" else f"@{group['group']}"
        scores |= {f"test_{name}{at}": value for name, value in group["values"].items()}
    return {
        "row": cell.cell.row,
        "column": cell.cell.column or None,
        "kind": kind,
        "chosen": cell.cell.chosen or None,
        "seed": run.run.seed,
        "subsample": settings.data.subsample,
        "folder": settings.name,
        "state": run.state,
        "metric": cell.cell.metric,
        "value": run.value,
        **scores,
        "error": run.error or None,
        "steps": facts.get("steps"),
        "best_step": facts.get("best", {}).get("step"),
        "seconds": facts.get("seconds", {}).get("training"),
        **{key: facts.get("counts", {}).get(key) for key in ("trained_parameters", "stored_parameters")},
        "train_records": facts.get("counts", {}).get("train_pairs"),
        "test_records": facts.get("counts", {}).get("test_records"),
        "data_fingerprint": facts.get("data_fingerprint"),
        "hardware": facts.get("hardware"),
        **{f"version.{name}": version for name, version in facts.get("versions", {}).items()},
        **{f"settings.{key}": _plain(value) for key, value in flat(settings).items() if key not in _WHERE},
    }


def _plain(value: Any) -> Any:
    """A value that one field of a table takes; lists and mappings as JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _as_csv(keys: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


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
