from .base import AnyExample, ScoreRow, Task
from .building import build_task, labels_of, template_of
from .cloze import ClozeTask
from .generation import GenerationTask, score_texts
from .headed import HeadTask
from .inputs import RowForm
from .mixture import Mixture, PartExample
from .outputs import OUTPUT_FORMS, OutputForm
from .reading import ReadingExample, ReadingTask
from .registry import TASKS, TaskKind, answer_of, task

__all__ = [
    "OUTPUT_FORMS",
    "TASKS",
    "AnyExample",
    "ClozeTask",
    "GenerationTask",
    "HeadTask",
    "Mixture",
    "OutputForm",
    "PartExample",
    "ReadingExample",
    "ReadingTask",
    "RowForm",
    "ScoreRow",
    "Task",
    "TaskKind",
    "answer_of",
    "build_task",
    "labels_of",
    "score_texts",
    "task",
    "template_of",
]
