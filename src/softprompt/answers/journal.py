"""The answers of a file while it is answered: kept line by line, so that a stopped command can go on."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softprompt.errors import ConfigError
from softprompt.files import objects, read_lines, writing


class Journal:
    """The file `OUTPUT.partial`: what is answered on its first line, then the answers of a row on each.

    A line is whole or, where a process was killed while it wrote, the last one is cut and not counted.

    Args:
        output: the file that will be written in the end.
        identity: by which two commands answer the same rows in the same way.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any]):
        self.path = output.with_name(f"{output.name}.partial")
        self._output = output
        self._identity = json.loads(json.dumps(identity))

    def begin(self, overwrite: bool, step: int) -> list[dict[str, Any]]:
        """The answers that are there already; the file is made where there is none.

        Args:
            overwrite: begin anew whatever is there.
            step: answers come in steps of so many, and only whole steps are taken over.

        Raises:
            ConfigError: the output is there already, or the answers are those of another command.
        """
        lines = [] if overwrite else objects(read_lines(self.path))
        if not overwrite and not lines and self._output.exists():
            do = "give another name, or --overwrite to replace it"
            raise ConfigError("--output", f"{self._output}, which is there already", "a new file", do)
        if lines and lines[0] != self._identity:
            other = _differing(lines[0], self._identity)
            do = "finish that command first, or give --overwrite to begin anew, or another --output"
            raise ConfigError("--output", f"{self.path}, begun with another {other}", "the same one", do)
        kept = lines[1:]
        kept = kept[: len(kept) // step * step]
        with writing(self.path.parent, "the answers so far are kept"):
            content = "".join(_line(one) for one in (self._identity, *kept))
            # Written beside and renamed, so that a kill at this moment loses nothing.
            temporary = self.path.with_name(f"{self.path.name}.new")
            temporary.write_text(content, encoding="utf-8", newline="\n")
            os.replace(temporary, self.path)
        return kept

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the answers of some more rows, on the disk when this returns."""
        with (
            writing(self.path.parent, "the answers so far are kept"),
            open(self.path, "a", encoding="utf-8", newline="\n") as file,
        ):
            file.write("".join(map(_line, rows)))
            file.flush()
            os.fsync(file.fileno())

    def end(self) -> None:
        """Remove the file, once the output is written."""
        self.path.unlink(missing_ok=True)


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    names = [name for name in here if there.get(name) != here[name]]
    return names[0] if names else "version of softprompt"
