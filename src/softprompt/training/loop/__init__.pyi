from .loop import Evaluate, Loop
from .objective import Group, Objective, OneTask, better
from .schedule import idle_passes, rank_slice
from .several_tasks import PromptSet, SeveralTasks

__all__ = [
    "Evaluate",
    "Group",
    "Loop",
    "Objective",
    "OneTask",
    "PromptSet",
    "SeveralTasks",
    "better",
    "idle_passes",
    "rank_slice",
]
