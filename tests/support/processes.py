"""Processes of their own, forked from one that has imported torch and transformers but nothing of softprompt.

Such a process starts in a tenth of a second; a new Python takes seconds of imports for the same.
"""

import gc
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import support.unsynced  # noqa: F401

_IMPORTED = [
    "torch", "torch._dynamo", "torch.distributed.fsdp", "transformers.modeling_utils", "transformers.trainer",
    "transformers.models.llama.modeling_llama", "transformers.models.t5.modeling_t5",
    "transformers.models.bert.modeling_bert",
]  # fmt: skip

# Windows cannot fork.
_FORKS = "forkserver" in multiprocessing.get_all_start_methods()
CONTEXT = multiprocessing.get_context("forkserver") if _FORKS else multiprocessing.get_context("spawn")
if _FORKS:
    CONTEXT.set_forkserver_preload(_IMPORTED)


@dataclass(frozen=True)
class Running:
    """A process that runs Python code."""

    process: BaseProcess
    channel: Connection
    """Objects to and from the code, which has the other end as `channel`."""
    _folder: Path

    def ended(self, timeout_s: float = 900) -> int | None:
        """Its exit code, once it has ended; None after too long a time."""
        self.process.join(timeout_s)
        return self.process.exitcode

    @property
    def printed(self) -> str:
        return (self._folder / "stdout").read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        return (self._folder / "stderr").read_text(encoding="utf-8")


@contextmanager
def running(code: str, *arguments: object, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Run code as `python -c CODE ARGUMENTS` would; the process is killed when the context ends.

    Args:
        environment: what differs from this process's own variables.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ours, theirs = CONTEXT.Pipe()
        variables = {**os.environ, **(environment or {})}
        words = ["-c", *map(str, arguments)]
        process = CONTEXT.Process(target=_execute, args=(code, words, variables, Path(folder), theirs))
        process.start()
        # Its only end is then the process's own: once that has ended, reading raises EOFError.
        theirs.close()
        try:
            yield Running(process, ours, Path(folder))
        finally:
            process.kill()
            process.join()
            ours.close()


def _execute(
    code: str, words: list[str], variables: dict[str, str], folder: Path, channel: Connection
) -> None:
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY), stream)
    # What is imported already costs the code's own garbage collections nothing.
    gc.freeze()
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = words
    exec(compile(code, "<code>", "exec"), {"__name__": "__main__", "channel": channel})
