from .distributed import Processes
from .evaluation import generate_and_score
from .loop import STEPS_OF_TEXTS, better, n_steps, steps_per_epoch
from .progress import RunProgress, clock
from .rescoring import rescore, runs_in
from .run import RunResult, train
from .run_folder import FolderTakenError, RunFolder, flat, locked, versions
from .setup import check_before_loading, check_shard, load_frozen, with_template
from .task_run import output_line, output_lines
from .trackers import check_trackers

__all__ = [
    "STEPS_OF_TEXTS",
    "FolderTakenError",
    "Processes",
    "RunFolder",
    "RunProgress",
    "RunResult",
    "better",
    "check_before_loading",
    "check_shard",
    "check_trackers",
    "clock",
    "flat",
    "generate_and_score",
    "load_frozen",
    "locked",
    "n_steps",
    "output_line",
    "output_lines",
    "rescore",
    "runs_in",
    "steps_per_epoch",
    "train",
    "versions",
    "with_template",
]
