"""What lies in the folders of runs."""

import json
from pathlib import Path
from typing import Any

from softprompt.training.run_folder import locks


def result_of(run: Path) -> dict[str, Any]:
    """What a run that ended says of itself."""
    return json.loads((run / "result.json").read_text(encoding="utf-8"))


def write_lines(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    """A file with a JSON object in each line; returns its path."""
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def assert_a_lock_alone(runs: Path, name: str) -> None:
    """Where runs are put lies nothing but the lock of the one that was refused, which is empty."""
    left = sorted(path.relative_to(runs).as_posix() for path in runs.rglob("*"))
    assert left == [locks.FOLDER, f"{locks.FOLDER}/{name}.run"]
    assert (runs / left[1]).read_bytes() == b""
