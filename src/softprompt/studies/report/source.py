"""The source of a report: a study file, a study's folder, or a results table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softprompt.errors import ConfigError, TrainingError
from softprompt.studies.commands import command_line
from softprompt.studies.reading.grid import load_grid
from softprompt.studies.results.study_result import StudyResult, read_results
from softprompt.studies.storage.stored import KINDS, PLAN, planned, read_stored, stored_results


@dataclass(frozen=True)
class Source:
    """The results that a report shows.

    Args:
        command: the command line that makes the study.
        unasked: names of a results table's runs that are not in the study.
    """

    result: StudyResult
    command: str
    unasked: tuple[str, ...] = ()


def read_source(study: Path, overrides: Sequence[str] = (), table: Path | None = None) -> Source:
    """Read a study from its file, its folder or its `study.json`.

    Args:
        study: the YAML file, the study's folder, or a `study.json`.
        overrides: `key=value`, as the study was run with; for a YAML file only.
        table: a results table from which the runs are taken instead of from their folders.

    Raises:
        ConfigError: mistakes in the study file, or options that exclude each other.
        TrainingError: a file or folder is missing or broken.
    """
    if study.suffix in (".yaml", ".yml"):
        return _of_file(study, overrides, table)
    if overrides:
        expected = "a study file, since a study that was run has its settings"
        raise ConfigError("--set", f"{overrides[0]} beside {study}", expected)
    if study.suffix in KINDS:
        if table is not None:
            raise ConfigError("--from", f"both {table} and {study}", "one results table", "leave one out")
        if study.suffix != ".json":
            do = f"name the study first: softprompt report FILE --from {study.as_posix()}"
            raise ConfigError(str(study), "a table without its study", "the study file or its folder", do)
        plan, folder, table = study, study.parent, study
    else:
        plan, folder = study / "study.json", study
    if not folder.is_dir():
        expected = "a study file, or the folder of a study that was run"
        raise TrainingError(str(study), "no such file or folder", expected)
    if folder == study and not plan.is_file():
        do = "name the study file instead: softprompt report FILE"
        raise TrainingError(str(study), "no study.json", "the folder of a study", do)
    kept = read_stored(plan)
    exact = read_stored(folder / PLAN) if folder == study and (folder / PLAN).is_file() else kept
    grid, command = planned(exact, folder), str(exact.facts.get("command", ""))
    if table is None:
        return Source(read_results(grid, strict=False), command)
    result, unasked = stored_results(grid, kept if table == plan else read_stored(table))
    return Source(result, command, unasked)


def _of_file(path: Path, overrides: Sequence[str], table: Path | None) -> Source:
    grid = load_grid(path, overrides)
    again = command_line("study", path, overrides=overrides)
    if table is not None:
        stored = read_stored(table)
        result, unasked = stored_results(grid, stored)
        return Source(result, str(stored.facts.get("command") or again), unasked)
    if not grid.folder.is_dir():
        do = "run the study first, or name a results table with --from"
        raise TrainingError(str(grid.folder), "no such folder", "the folder of a study that was run", do)
    return Source(read_results(grid, strict=False), _command(grid.folder) or again)


def _command(folder: Path) -> str:
    """The command in the folder's `study.json`; empty if the file is missing or broken."""
    try:
        return str(read_stored(folder / "study.json").facts.get("command", ""))
    except TrainingError:
        return ""
