"""Where a report's numbers come from: a study file, a study's folder, or a results table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softprompt.errors import ConfigError, TrainingError
from softprompt.studies.commands import command_line
from softprompt.studies.definition.grid import load_grid
from softprompt.studies.results.study_result import StudyResult, read_results
from softprompt.studies.storage.stored import KINDS, PLAN, planned, read_stored, stored_results


@dataclass(frozen=True)
class Source:
    """What a report is made from.

    Args:
        command: the command line that makes the study.
        unasked: runs of a results table that the study does not ask for.
    """

    result: StudyResult
    command: str
    unasked: tuple[str, ...] = ()


def read_source(study: Path, overrides: Sequence[str] = (), table: Path | None = None) -> Source:
    """Read a study from its file, its folder or its `study.json`.

    Args:
        study: the YAML file, the folder that the study left, or a `study.json` anywhere.
        overrides: those that the study was run with; for a YAML file only.
        table: takes the runs from this results table instead of the run folders.

    Raises:
        ConfigError: mistakes in the study file, or options that do not go together.
        TrainingError: nothing is there, or what is there is broken.
    """
    if study.suffix in (".yaml", ".yml"):
        return _of_file(study, overrides, table)
    if overrides:
        raise ConfigError(
            "--set",
            f"{overrides[0]} beside {study}",
            "a study file, since a study that was run has its settings",
        )
    if study.suffix in KINDS:
        if table is not None:
            raise ConfigError("--from", f"both {table} and {study}", "one results table", "leave one out")
        if study.suffix != ".json":
            raise ConfigError(
                str(study), "a table without its study", "the study file or its folder",
                f"name the study first: softprompt report FILE --from {study.as_posix()}",
            )  # fmt: skip
        plan, folder, table = study, study.parent, study
    else:
        plan, folder = study / "study.json", study
    if not folder.is_dir():
        raise TrainingError(
            str(study), "no such file or folder", "a study file, or the folder of a study that was run"
        )
    if folder == study and not plan.is_file():
        raise TrainingError(
            str(study), "no study.json", "the folder of a study",
            "name the study file instead: softprompt report FILE",
        )  # fmt: skip
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
        raise TrainingError(
            str(grid.folder), "no such folder", "the folder of a study that was run",
            "run the study first, or name a results table with --from",
        )  # fmt: skip
    return Source(read_results(grid, strict=False), _command(grid.folder) or again)


def _command(folder: Path) -> str:
    """The command that the study left; empty where there is none, or none that can be read."""
    try:
        return str(read_stored(folder / "study.json").facts.get("command", ""))
    except TrainingError:
        return ""
