"""Missing scores of a finished run, computed later from the texts that the run kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.config import RunSettings, load_stored
from softprompt.data import Record
from softprompt.data import load as load_splits
from softprompt.errors import ConfigError, DataError, TrainingError, counted
from softprompt.files import damaged, json_text, objects, read_lines, without_folders, write_atomically
from softprompt.tasks import ScoreRow, score_texts
from softprompt.training.run_folder import RunFolder, versions


def runs_in(folder: Path) -> list[Path]:
    """The folders of finished runs: this one, or those right under it, as a study leaves them.

    Raises:
        TrainingError: there is none.
    """
    found = [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]
    found = [path for path in found if RunFolder(path).result.is_file()]
    if not found:
        got = "no finished run" if folder.is_dir() else "no such folder"
        raise TrainingError(folder.as_posix(), got, "the folder of a finished run, or of a study")
    return found


def rescore(path: Path) -> list[str]:
    """Add the metrics of the run's settings that its result lacks; returns their names.

    Only scorers of generated texts need programs that can be missing (METEOR and a tokenizer run in Java).
    Present scores stay unchanged; the result records what was added, and with which versions.

    Args:
        path: the folder of a finished run.

    Raises:
        ConfigError: the run's task does not generate.
        TrainingError: its result or its outputs are damaged.
        DataError: the test set differs from that of the outputs.
    """
    folder = RunFolder(path)
    facts = folder.finished()
    if facts is None:
        raise TrainingError(path.as_posix(), "no result", "a finished run", "finish the run first")
    if "parts" in facts:
        raise ConfigError(path.as_posix(), "a run over several tasks", "a run of the task 'generation'")
    settings = load_stored(folder.settings)
    if settings.task.name != "generation":
        got = f"task '{settings.task.name}', whose scores need no other program"
        raise ConfigError(path.as_posix(), got, "a run of the task 'generation'")
    rows: list[ScoreRow] = facts["scores"]
    lacking = [name for name in settings.metrics if any(name not in row["values"] for row in rows)]
    if not rows or not lacking:
        return []
    again = {row["group"]: row for row in _scored(settings, folder, lacking)}
    if set(again) != {row["group"] for row in rows}:
        raise DataError(
            "data.test",
            f"the groups {', '.join(again)}",
            "the groups of the result",
            f"compare the records with {path.as_posix()}",
        )
    gained = [name for name in lacking if all(name in row["values"] for row in again.values())]
    if gained:
        facts["scores"] = [_joined(row, again[row["group"]], settings.metrics) for row in rows]
        facts["rescored"] = {"metrics": gained, "versions": versions()}
        write_atomically(folder.result, json_text(without_folders(facts)))
    return gained


def _scored(settings: RunSettings, folder: RunFolder, metrics: Sequence[str]) -> list[ScoreRow]:
    records = [record for record in load_splits(settings.data).test if isinstance(record, Record)]
    if not folder.outputs.is_file():
        raise TrainingError(folder.outputs.as_posix(), "no such file", "the outputs of the run")
    lines = read_lines(folder.outputs, _is_output)
    if which := damaged(lines, written_whole=True):
        do = "put its copy back: scores need the texts of all records"
        raise TrainingError(folder.outputs.as_posix(), f"damage in {which}", "the outputs of the run", do)
    kept = [(line["id"], line["references"], line["output"]) for line in objects(lines)]
    if [(record.id, list(record.targets)) for record in records] != [(id_, said) for id_, said, _ in kept]:
        raise DataError(
            "data.test",
            f"{counted(len(records), 'record')} that are not the {len(kept)} of {folder.outputs.as_posix()}",
            "the records that the run answered",
            "set SOFTPROMPT_DATA to the same data",
        )
    language = getattr(settings.task, "language", "auto")
    return score_texts(records, [output for _, _, output in kept], metrics, language)


def _is_output(line: Mapping[str, Any]) -> bool:
    kinds = {"id": str, "references": list, "output": str}
    return all(isinstance(line.get(key), kind) for key, kind in kinds.items())


def _joined(old: ScoreRow, new: ScoreRow, metrics: Sequence[str]) -> Any:
    """The row with its missing values, in the order asked for, and the notes on what is still missing."""
    values = {**new["values"], **old["values"]}
    return {
        "group": old["group"],
        "values": {name: values[name] for name in metrics if name in values},
        "notes": new["notes"],
    }
