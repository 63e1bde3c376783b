from .explosion import ExplodedError
from .loop import Evaluate, Loop
from .objective import Group, Objective, OneTask, better
from .schedule import idle_passes, n_steps, rank_slice, steps_per_epoch
from .several_tasks import PromptSet, SeveralTasks

__all__ = [
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
