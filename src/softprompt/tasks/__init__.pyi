from .cloze import ClozeTask
from .decoding import check_decoding
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
    "check_decoding",
    "labels_of",
    "score_texts",
    "template_of",
]
