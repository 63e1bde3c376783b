"""The results of a study as one table with a line per run: `study.csv` and `study.parquet`."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.errors import TrainingError, first_line
from softprompt.files import as_cell, from_cell, without_folders, write_atomically, writing
from softprompt.studies.definition.measures import FACTS, fact_of, groups_of, result_of, scores_of
from softprompt.studies.results.study_result import CellResult, RunResult, StudyResult
from softprompt.training import flat
from softprompt.untrusted import Unreadable, read_bytes

if TYPE_CHECKING:
    import pyarrow

_ALWAYS = ("row", "column", "folder", "state", "metric", "value")
"""The columns of a table without runs, which a study has whose cells have not chosen."""

MOST_TABLE = 256 << 20
"""The largest results table that is read, in bytes."""

_WHERE = {"name", "output"}
"""Settings that depend on the place of a run, whose folder has a column of its own."""


def write_table(result: StudyResult) -> None:
    """Write both files into the study's folder."""
    from pyarrow import parquet

    folder, table = result.grid.folder, as_table(result)
    text, data = io.StringIO(), io.BytesIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(as_cell, table.column_names))
    writer.writerows(map(as_cell, line.values()) for line in table.to_pylist())
    parquet.write_table(table, data)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "study.csv", text.getvalue())
        write_atomically(folder / "study.parquet", data.getvalue())


def as_table(result: StudyResult) -> "pyarrow.Table":
    """A line for each run that is tested, and one type for each column."""
    import pyarrow

    lines = table_lines(result)
    keys = list(lines[0]) if lines else list(_ALWAYS)
    return pyarrow.table({key: _column([line[key] for line in lines]) for key in keys})


def table_lines(result: StudyResult) -> list[dict[str, Any]]:
    """Every run that is tested, all with the same keys in the same order; unknown values are None."""
    lines = [
        _of_run(cell, run, kind)
        for kind, cells in (("cell", result.cells), ("reference", result.references))
        for cell in cells
        for run in cell.runs
    ]
    keys = list(dict.fromkeys(key for line in lines for key in line))
    # The sort is stable: settings move to the end.
    keys.sort(key=lambda key: key.startswith("settings."))
    return [{key: line.get(key) for key in keys} for line in lines]


def _of_run(cell: CellResult, run: RunResult, kind: str) -> dict[str, Any]:
    settings, facts = run.run.settings, run.facts
    known = {name: fact_of(facts, name) for name in FACTS}
    counts = facts.get("counts", {})
    scores = {f"test_{name}": None for name in settings.metrics}
    scores |= {f"test_{measure}": value for measure, value in scores_of(facts).items()}
    line = {
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
        "steps": known["steps"],
        "best_step": facts.get("best", {}).get("step"),
        **{key: known[key] for key in ("seconds", "trained_parameters", "stored_parameters")},
        "train_records": counts.get("train_pairs"),
        "test_records": counts.get("test_records"),
        "data_fingerprint": facts.get("data_fingerprint"),
        "hardware": known["hardware"],
        **{f"version.{name}": version for name, version in (known["versions"] or {}).items()},
        **{f"settings.{key}": _plain(value) for key, value in settings_of(run).items()},
    }
    return without_folders(line)


def settings_of(run: RunResult) -> dict[str, Any]:
    """Every setting of a run by dotted key, without those that depend on the run's place."""
    return {key: value for key, value in flat(run.run.settings).items() if key not in _WHERE}


def _plain(value: Any) -> Any:
    """A value for one field of a table; lists and mappings become JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(without_folders(value), ensure_ascii=False)


def _column(values: list[Any]) -> "pyarrow.Array":
    """A column of one type: fractions for mixed numbers, text for other mixtures.

    A column without values is text too, since few readers know Parquet's null type.
    """
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if len(kinds) == 1 or kinds == {int, float}:
        return pyarrow.array(values)
    return pyarrow.array([None if value is None else str(value) for value in values], pyarrow.string())


def read_table(path: Path) -> list[dict[str, Any]]:
    """The runs of a CSV or Parquet file, with facts in the form of a `result.json`; there are no curves.

    Raises:
        TrainingError: the file is broken, or is no results table.
    """
    from pyarrow import ArrowException, parquet
    from pyarrow.csv import ConvertOptions, ParseOptions, read_csv

    try:
        content = read_bytes(path, MOST_TABLE)
        if path.suffix == ".csv":
            # By default a score that is no number would be read as no score.
            kinds = ConvertOptions(null_values=[""])
            table = read_csv(io.BytesIO(content), None, ParseOptions(newlines_in_values=True), kinds)
        else:
            table = parquet.read_table(io.BytesIO(content))
    except Unreadable as error:
        raise broken(path, str(error)) from None
    except (ArrowException, OSError) as error:
        raise broken(path, f"broken {path.suffix} ({first_line(error)})") from None
    missing = [name for name in ("folder", "state", "value") if name not in table.column_names]
    if missing:
        raise broken(path, f"no column {', '.join(missing)}")
    lines = table.to_pylist()
    if path.suffix == ".csv":
        lines = [{k: from_cell(v) if isinstance(v, str) else v for k, v in line.items()} for line in lines]
    return [_as_result(path, i, line) for i, line in enumerate(lines)]


def _as_result(path: Path, i: int, line: Mapping[str, Any]) -> dict[str, Any]:
    def number(name: str) -> Any:
        value = line.get(name)
        if value in (None, ""):
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise broken(path, f"{value!r} as {name} in line {i + 1}") from None

    scores = {
        name.removeprefix("test_"): value
        for name in line
        if name.startswith("test_") and name != "test_records" and (value := number(name)) is not None
    }
    numbers = {name: kind(number(name) or 0) for name, (kind, _) in FACTS.items() if kind in (int, float)}
    hardware = line.get("hardware") or ""
    result = result_of(
        {**numbers, "scores": groups_of(scores), "best": {}, "versions": {}, "hardware": hardware}
    )
    return {
        "folder": line["folder"],
        "state": line["state"],
        "error": line.get("error") or "",
        "value": number("value"),
        "facts": {**result, "curve": {"metric": "loss", "points": []}},
    }


def broken(path: Path, got: str) -> TrainingError:
    """The error for a file that no study has written."""
    return TrainingError(
        str(path), got, "a results table as a study writes it", "make the table again from the run folders"
    )
