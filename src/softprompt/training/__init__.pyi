from .distributed import Processes
from .evaluation import generate_and_score
from .loop import better
from .progress import RunProgress, clock
from .rescoring import rescore, runs_in
from .run import RunResult, train
from .run_folder import RunFolder, flat, locked, versions
from .setup import load_frozen, with_template
from .task_run import output_line, output_lines

__all__ = [
    "Processes",
    "RunFolder",
    "RunProgress",
    "RunResult",
    "better",
    "clock",
    "flat",
    "generate_and_score",
    "load_frozen",
    "locked",
    "output_line",
    "output_lines",
    "rescore",
    "runs_in",
    "train",
    "versions",
    "with_template",
]
