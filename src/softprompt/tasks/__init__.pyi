from .cloze import ClozeTask
from .generation import GenerationTask, score_texts
from .headed import HeadTask
from .mixture import Mixture, PartExample
from .probing import ProbingTask
from .registry import build_task, labels_of, template_of
from .task import AnyExample, ScoreRow, Task

__all__ = [
    "AnyExample",
    "ClozeTask",
    "GenerationTask",
    "HeadTask",
    "Mixture",
    "PartExample",
    "ProbingTask",
    "ScoreRow",
    "Task",
    "build_task",
    "labels_of",
    "score_texts",
    "template_of",
]
