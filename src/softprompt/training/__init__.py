"""Training: from a run's settings to a folder with a trained prompt.

Names load lazily, so that what only reads run folders does not wait for what trains.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "Processes": "distributed",
    "RunFolder": "run_folder",
    "RunProgress": "progress",
    "RunResult": "run",
    "better": "evaluation",
    "clock": "progress",
    "damaged": "json_lines",
    "flat": "run_folder",
    "generate_and_score": "evaluation",
    "load_frozen": "setup",
    "locked": "locks",
    "objects": "json_lines",
    "output_line": "task_run",
    "output_lines": "task_run",
    "read_lines": "json_lines",
    "rescore": "rescoring",
    "runs_in": "rescoring",
    "train": "run",
    "versions": "provenance",
    "with_template": "setup",
    "write_atomically": "atomic",
    "writing": "atomic",
}

__all__ = [
    "Processes",
    "RunFolder",
    "RunProgress",
    "RunResult",
    "better",
    "clock",
    "damaged",
    "flat",
    "generate_and_score",
    "load_frozen",
    "locked",
    "objects",
    "output_line",
    "output_lines",
    "read_lines",
    "rescore",
    "runs_in",
    "train",
    "versions",
    "with_template",
    "write_atomically",
    "writing",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


if TYPE_CHECKING:
    from softprompt.training.atomic import write_atomically, writing
    from softprompt.training.distributed import Processes
    from softprompt.training.evaluation import better, generate_and_score
    from softprompt.training.json_lines import damaged, objects, read_lines
    from softprompt.training.locks import locked
    from softprompt.training.progress import RunProgress, clock
    from softprompt.training.provenance import versions
    from softprompt.training.rescoring import rescore, runs_in
    from softprompt.training.run import RunResult, train
    from softprompt.training.run_folder import RunFolder, flat
    from softprompt.training.setup import load_frozen, with_template
    from softprompt.training.task_run import output_line, output_lines
