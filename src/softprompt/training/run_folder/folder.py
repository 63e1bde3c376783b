"""The folder of one run: its files, and when a run may write to it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.config import Settings
from softprompt.errors import TrainingError, system_says
from softprompt.files import (
    Line,
    ends_line,
    json_line,
    objects,
    read_lines,
    warn_of_damage,
    write_atomically,
    writing,
)
from softprompt.training.run_folder.checkpoint import Checkpoints
from softprompt.training.run_folder.settings import as_yaml, differing, flat, stored_training
from softprompt.untrusted import Unreadable, read_bytes, read_json

_FACTS = {"name": str, "steps": int, "best": dict, "scores": list, "counts": dict}
"""The entries of a result, of a run of one task or of one task of several, and their types."""

_FACTS_OF_PART = {"best": dict, "scores": list, "counts": dict}
"""What the result of a run over several tasks holds of each."""

_FACTS_OF_SEVERAL = {"name": str, "parts": dict}
"""The same of a run over several tasks."""


_MOST_RESULT = 64 << 20
"""The largest result, in bytes."""


def _lacking(facts: Any, kinds: Mapping[str, type]) -> list[str]:
    """The keys under which an object does not hold what it should."""
    known = facts if isinstance(facts, dict) else {}
    return [key for key, kind in kinds.items() if not isinstance(known.get(key), kind)]


def _of_log(line: Mapping[str, Any]) -> bool:
    """Whether an object is a line of a log, which has a kind and a step."""
    return isinstance(line.get("kind"), str) and type(line.get("step")) is int


def _counts(path: Path) -> bool:
    """Whether a file belongs to a run that began, unlike `asked.yaml` and half-written files."""
    return not (path.name == "asked.yaml" or (path.name.startswith(".") and path.name.endswith(".writing")))


class FolderTakenError(TrainingError):
    """The folder of a new run holds files already."""


class RunFolder:
    """Settings, log, checkpoints, curves, outputs, samples, result and prompt of one run.

    Args:
        path: the folder; made by `begin`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / "settings.yaml"
        self.asked = path / "asked.yaml"
        self.log = path / "log.jsonl"
        self.damaged = path / "log.damaged.jsonl"
        self.result = path / "result.json"
        self.outputs = path / "outputs.jsonl"
        self.samples = path / "samples.txt"
        self.exploded = path / "exploded.json"
        self.prompt = path / "prompt"
        self.checkpoints = Checkpoints(path / "checkpoints")
        self._former_states = path / "trunk"

    def check(self, settings: Settings, resume: bool) -> None:
        """Refuse a folder to which this run may not write.

        Raises:
            FolderTakenError: a new run in the folder of another one.
            TrainingError: no folder that can be read, or one with another or a finished run; or, to resume,
                with none or a different one.
        """
        try:
            taken = not resume and self.path.exists() and any(map(_counts, self.path.iterdir()))
        except OSError as error:
            do = "choose another name"
            raise TrainingError(str(self.path), system_says(error), "a new or empty folder", do) from None
        if taken:
            state = "a finished run" if self.result.exists() else "a run that did not finish"
            raise FolderTakenError(
                str(self.path),
                state if self.settings.exists() else "other files",
                "a new or empty folder",
                "choose another name, or resume this run"
                if self.settings.exists()
                else "choose another name",
            )
        if resume:
            # Settings left open may still be resolved to the stored values.
            given = {key: value for key, value in flat(settings).items() if value is not None}
            self._compare(type(settings), given, asked=flat(settings))

    def begin(self, asked: Settings, resolved: Settings, resume: bool) -> None:
        """Write the settings, or check them against those of the run to resume.

        Args:
            asked: as the user wrote them; `check` recognises the run by them, as the resolved ones lack
                e.g. the name of a pattern.
            resolved: with every choice filled in.
            resume: whether the folder holds the run already.
        """
        if resume:
            self._compare(type(resolved), flat(resolved))
            self._remove_former_states()
            if self.exploded.exists():
                self._begin_mended(asked, resolved)
            return
        with writing(self.path, "nothing was trained yet"):
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(self.asked, as_yaml(asked))
            # Last, since a folder with this file is a run.
            write_atomically(self.settings, as_yaml(resolved))

    def stored_training(self) -> dict[str, Any]:
        """The section `training` with which the run in this folder began; empty where there is none.

        Raises:
            TrainingError: the settings cannot be read.
        """
        return stored_training(self.settings) if self.settings.exists() else {}

    def explode(self, reason: str) -> None:
        """Note that the loss exploded, so that the run goes on with other rates alone."""
        with writing(self.path):
            write_atomically(self.exploded, json_line({"reason": reason}))

    def _begin_mended(self, asked: Settings, resolved: Settings) -> None:
        """Let a run go on whose loss exploded, with the settings that mend it.

        Raises:
            TrainingError: the settings are the same.
        """
        if not differing(self.settings, type(resolved), flat(resolved)):
            raise TrainingError(str(self.path), *self._reason())
        with writing(self.path):
            write_atomically(self.asked, as_yaml(asked))
            write_atomically(self.settings, as_yaml(resolved))
            self.exploded.unlink()

    def _reason(self) -> tuple[str, str, str]:
        """What came, what was expected, and what to do about a run whose loss exploded."""
        try:
            reason = str(read_json(self.exploded, 1 << 20)["reason"])
        except (Unreadable, KeyError, TypeError):
            reason = "its loss exploded"
        expected = "another learning rate, since it would stop again"
        return f"a run that stopped: {reason}", expected, "resume it with --set training.learning_rate=..."

    def _remove_former_states(self) -> None:
        """Remove the backbone states of earlier versions in `trunk/`, which nothing reads any more."""
        with writing(self.path):
            for pattern in ("*.states", "*.index"):
                for path in self._former_states.glob(pattern):
                    path.unlink()
            # Files of other kinds belong to the user.
            if self._former_states.is_dir() and not any(self._former_states.iterdir()):
                self._former_states.rmdir()

    def append(self, line: Mapping[str, Any]) -> None:
        """Add one line to the log, on a line of its own even after an interrupted write."""
        with writing(self.path):
            start = "" if ends_line(self.log) else "\n"
            with open(self.log, "a", encoding="utf-8", newline="\n") as file:
                file.write(start + json_line(dict(line)))

    def rewind(self, step: int, evaluated: int) -> None:
        """Drop the log's steps and evaluations after a checkpoint, which the run will repeat.

        Damaged lines are moved to `log.damaged.jsonl`.
        """
        last = {"start": 0, "step": step, "evaluation": evaluated}
        lines = self._log_lines()
        lost = [line.raw for line in lines if line.value is None]
        kept = [
            line.raw
            for line in lines
            if line.value is not None and line.value["step"] <= last.get(line.value["kind"], step)
        ]
        warn_of_damage(self.log, lines, f"it is kept in {self.damaged.name}, and the run goes on without it")
        with writing(self.path):
            if lost:
                # First, so that an interruption loses no line.
                write_atomically(self.damaged, self._lost_before() + _joined(lost))
            write_atomically(self.log, _joined(kept))

    def _lost_before(self) -> bytes:
        """The damaged lines that were kept before.

        Raises:
            TrainingError: something in their place that is no file.
        """
        try:
            return read_bytes(self.damaged) if self.damaged.exists() else b""
        except Unreadable as error:
            raise TrainingError(
                self.damaged.as_posix(), str(error), "a file of damaged lines", "move it elsewhere"
            ) from None

    def lines(self) -> Iterator[dict[str, Any]]:
        """The log, without lines that are damaged.

        One warning names the damaged lines, except an unfinished last line of an interrupted write.

        Raises:
            TrainingError: the file cannot be read.
        """
        lines = self._log_lines()
        warn_of_damage(self.log, lines, "it is passed over, and the other lines are read")
        return iter(objects(lines))

    def _log_lines(self) -> list[Line]:
        return read_lines(self.log, _of_log)

    def finished(self) -> dict[str, Any] | None:
        """The result of a finished run, or None.

        Raises:
            TrainingError: the file is damaged, or is no result.
        """
        if not self.result.exists():
            return None
        try:
            facts = read_json(self.result, _MOST_RESULT)
        except Unreadable as error:
            raise self._broken(str(error)) from None
        if not isinstance(facts, dict):
            raise self._broken("no JSON object")
        wrong = _lacking(facts, _FACTS_OF_SEVERAL if "parts" in facts else _FACTS)
        if not wrong and "parts" in facts:
            wrong = [
                f"parts.{name}" for name, part in facts["parts"].items() if _lacking(part, _FACTS_OF_PART)
            ]
        if wrong:
            raise self._broken(f"nothing of use as {', '.join(wrong)}")
        return facts

    def _broken(self, got: str | None) -> TrainingError:
        do = "put its copy back, or remove it and resume the run from its checkpoint"
        return TrainingError(self.result.as_posix(), got, "the result that the run wrote at its end", do)

    def _compare(
        self, kind: type[Settings], ours: Mapping[str, Any], asked: Mapping[str, Any] | None = None
    ) -> None:
        """Refuse settings that are neither the resolved ones of this folder nor those asked for."""
        if not self.settings.exists():
            raise TrainingError(
                str(self.path), "no settings.yaml", "a run to resume", "leave resume out to start a new run"
            )
        exploded = self.exploded.exists()
        found = [differing(self.settings, kind, ours, exploded)]
        if asked is not None and self.asked.exists():
            found.append(differing(self.asked, kind, asked, exploded))
        if all(found):
            raise TrainingError(
                str(self.path),
                f"other settings: {', '.join(min(found, key=len))}",
                "the settings that the run began with",
                "put them back, or give this run another name",
            )


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
