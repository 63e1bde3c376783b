from .explosion import ExplodedError
from .loop import Evaluate, Loop
from .objective import Group, Objective, OneTask, better
from .schedule import STEPS_OF_TEXTS, idle_passes, n_steps, rank_slice, steps_per_epoch
from .several_tasks import PromptSet, SeveralTasks

__all__ = [
    "STEPS_OF_TEXTS",
    "Evaluate",
    "ExplodedError",
    "Group",
    "Loop",
    "Objective",
    "OneTask",
    "PromptSet",
    "SeveralTasks",
    "better",
    "idle_passes",
    "n_steps",
    "rank_slice",
    "steps_per_epoch",
]
